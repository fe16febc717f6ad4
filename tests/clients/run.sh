#!/bin/bash
# run.sh SERVER: real client libraries against a running server: one short program each, with what the library is used for:
# pipelines, transactions, messages, blocking queues, scripts, tracking. Debian's packages and, where npm can fetch them,
# node's. Installs what is missing. PROGRAMS="a.js b.py": only these. Ends with "clients: N passed, N failed".
set -u
cd "$(dirname "$0")" || exit 1
server=$(realpath "../../$1")
work=$(realpath "../../${B:-build}")/clients
mkdir -p "$work"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

install() {
	local missing=
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
	done
	[ -z "$missing" ] || { echo "Installing client libraries:$missing"; $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $missing >/dev/null; }
}
install redis-tools python3-redis ruby-redis php-redis php-cli || true
install prometheus-redis-exporter python3-rq ruby-sidekiq || true
command -v npm >/dev/null || install nodejs npm || true
if command -v npm >/dev/null && [ ! -d "$work/node_modules/rate-limiter-flexible" ]; then
	# Versions that are known to us: the next ones may do otherwise, and some want another node.
	(cd "$work" && timeout 600 npm install --silent --no-fund --no-audit --engine-strict bullmq@6.7.0 ioredis@6.0.0 \
		redis@6.3.1 connect-redis@9.0.0 express-session@1.19.0 redlock@4.2.0 rate-limiter-flexible@11.4.0 >/dev/null 2>&1) ||
		{ rm -rf "$work/node_modules"; echo "note: npm cannot fetch node's clients here, they are skipped"; }
fi

passed=0 failed=0
for program in ${PROGRAMS:-redis_cli.sh python_redis.py python_rq.py redis_exporter.py ruby_redis.rb sidekiq.rb php_redis.php ioredis.js \
	node_redis.js bullmq.js connect_redis.js redlock.js rate_limiter.js}; do
	case $program in
	*.sh) run="bash" ;;
	*.py) run="/usr/bin/python3" ;;
	*.rb) run="ruby" ;;
	*.php) run="php" ;;
	*.js) run="node"; [ -d "$work/node_modules/rate-limiter-flexible" ] || continue ;;
	esac
	case $program in
	redis_exporter.py) needs="command -v prometheus-redis-exporter" ;;
	python_rq.py) needs="/usr/bin/python3 -c 'import rq'" ;;
	sidekiq.rb) needs="ruby -e 'require \"sidekiq\"'" ;;
	*) needs=true ;;
	esac
	eval "$needs" >/dev/null 2>&1 || { echo "note: its packages are not to be had here, $program is skipped"; continue; }
	command -v "$run" >/dev/null || { echo "note: no $run, $program is skipped"; continue; }
	dir=$(mktemp -d)
	"$server" --port 0 --unixsocket "$dir/s" --loops "${LOOPS:-4}" --dir "$dir" --save '' >"$dir/log" 2>&1 &
	pid=$!
	# The socket is bound when the server is ready; a port is chosen by asking the kernel for a free one, and for another
	# when somebody was faster.
	while kill -0 $pid 2>/dev/null; do
		port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
		redis-cli -s "$dir/s" config set port "$port" 2>/dev/null | grep -q OK && break
		sleep 0.1
	done
	if PORT=$port NODE_PATH=$work/node_modules timeout 400 $run "$program" >"$dir/out" 2>&1 && kill -0 $pid; then
		passed=$((passed + 1))
		echo "$program: ok"
	else
		failed=$((failed + 1))
		echo "$program: FAILED"
		tail -n 30 "$dir/out" "$dir/log"
	fi
	kill $pid 2>/dev/null
	wait $pid || { failed=$((failed + 1)); tail -n 30 "$dir/log"; }
	rm -rf "$dir"
done
echo "clients: $passed passed, $failed failed"
[ $failed = 0 ]
