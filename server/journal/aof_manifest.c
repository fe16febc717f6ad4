/* aof_manifest: see aof_manifest.h. */
#include "server/journal/aof_manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/journal/io.h"

#define MANIFEST_MAX ((size_t)64 << 20)
#define LINE_SPACE (4 * AOF_NAME_MAX + 64) /* every byte of a name escaped */

void aof_manifest_clear(struct aof_manifest *m)
{
	free(m->v);
	*m = (struct aof_manifest){ 0 };
}

/* ------------------------------------------------------------------ writing a line */

/* Bytes above stand for themselves: a name in UTF-8 of a file system's 255 bytes fits into a line. */
static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

static bool needs_quotes(const char *name)
{
	for (; *name; name++) {
		if (is_control(*name) || strchr(" \"'\\", *name))
			return true;
	}
	return false;
}

static size_t print_name(char *out, const char *name)
{
	size_t n = 0;
	if (!needs_quotes(name)) {
		memcpy(out, name, strlen(name));
		return strlen(name);
	}
	out[n++] = '"';
	for (; *name; name++) {
		if (is_control(*name)) {
			n += (size_t)snprintf(out + n, 5, "\\x%02x", (unsigned char)*name);
		} else {
			if (*name == '"' || *name == '\\')
				out[n++] = '\\';
			out[n++] = *name;
		}
	}
	out[n++] = '"';
	return n;
}

static size_t print_line(char out[LINE_SPACE], const struct aof_file *f)
{
	memcpy(out, "file ", 5);
	size_t n = 5 + print_name(out + 5, f->name);
	return n + (size_t)snprintf(out + n, 48, " seq %llu type %c\n", (unsigned long long)f->seq, f->type);
}

/* ------------------------------------------------------------------ what it holds */

static int rank(char type)
{
	return type == AOF_BASE ? 0 : type == AOF_HISTORY ? 1 : 2;
}

int aof_manifest_add(struct aof_manifest *m, const char *name, uint64_t seq, enum aof_type type)
{
	struct aof_file f = { .seq = seq, .type = (char)type };
	char line[LINE_SPACE];
	if (strlen(name) >= AOF_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(f.name, name, strlen(name) + 1);
	if (print_line(line, &f) > AOF_LINE_MAX)
		return -ENAMETOOLONG;
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 8;
		struct aof_file *v = realloc(m->v, cap * sizeof *v);
		if (!v)
			return -ENOMEM;
		m->v = v;
		m->cap = cap;
	}
	size_t at = m->n;
	while (at && rank(m->v[at - 1].type) > rank((char)type))
		at--;
	memmove(&m->v[at + 1], &m->v[at], (m->n - at) * sizeof *m->v);
	m->v[at] = f;
	m->n++;
	return 0;
}

int aof_manifest_copy(struct aof_manifest *to, const struct aof_manifest *from)
{
	*to = (struct aof_manifest){ 0 };
	for (size_t i = 0; i < from->n; i++) {
		int err = aof_manifest_add(to, from->v[i].name, from->v[i].seq, (enum aof_type)from->v[i].type);
		if (err) {
			aof_manifest_clear(to);
			return err;
		}
	}
	return 0;
}

const struct aof_file *aof_manifest_base(const struct aof_manifest *m)
{
	return m->n && m->v[0].type == AOF_BASE ? &m->v[0] : NULL;
}

const struct aof_file *aof_manifest_last_incr(const struct aof_manifest *m)
{
	return m->n && m->v[m->n - 1].type == AOF_INCR ? &m->v[m->n - 1] : NULL;
}

uint64_t aof_manifest_top(const struct aof_manifest *m, enum aof_type type)
{
	uint64_t top = 0;
	for (size_t i = 0; i < m->n; i++) {
		if ((m->v[i].type == (char)type || m->v[i].type == AOF_HISTORY) && m->v[i].seq > top)
			top = m->v[i].seq;
	}
	return top;
}

static void sort(struct aof_manifest *m)
{
	for (size_t i = 1; i < m->n; i++) {
		struct aof_file f = m->v[i];
		size_t at = i;
		for (; at && rank(m->v[at - 1].type) > rank(f.type); at--)
			m->v[at] = m->v[at - 1];
		m->v[at] = f;
	}
}

void aof_manifest_retire(struct aof_manifest *m, uint64_t incr_seq)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->v[i].type == AOF_BASE || (m->v[i].type == AOF_INCR && m->v[i].seq < incr_seq))
			m->v[i].type = AOF_HISTORY;
	}
	sort(m);
}

void aof_manifest_drop_history(struct aof_manifest *m)
{
	size_t n = 0;
	for (size_t i = 0; i < m->n; i++) {
		if (m->v[i].type != AOF_HISTORY)
			m->v[n++] = m->v[i];
	}
	m->n = n;
}

/* ------------------------------------------------------------------ reading */

struct reader {
	const char *p, *end;
	size_t line;
	char *error;
	size_t error_size;
};

static int bad(const struct reader *r, const char *what)
{
	snprintf(r->error, r->error_size, "line %zu of the manifest: %s", r->line, what);
	return -EINVAL;
}

static int unhex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What follows a backslash, at *p. */
static char unescape(const char **p, const char *end)
{
	char c = *(*p)++;
	if (c == 'x' && end - *p >= 2 && unhex((*p)[0]) >= 0 && unhex((*p)[1]) >= 0) {
		c = (char)(unhex((*p)[0]) << 4 | unhex((*p)[1]));
		*p += 2;
		return c;
	}
	const char *from = "nrtba", *to = "\n\r\t\b\a", *at = strchr(from, c);
	return at && c ? to[at - from] : c;
}

/* The next word of a line into out; false: none, too long or a quote that does not end. */
static bool word(const char **p, const char *end, char *out, size_t size)
{
	size_t n = 0;
	while (*p < end && (**p == ' ' || **p == '\t' || **p == '\r'))
		(*p)++;
	if (*p == end)
		return false;
	char quote = **p == '"' || **p == '\'' ? *(*p)++ : 0;
	while (*p < end && (quote ? **p != quote : **p != ' ' && **p != '\t' && **p != '\r')) {
		char c = *(*p)++;
		if (c == '\\' && *p < end) {
			if (quote == '"')
				c = unescape(p, end);
			else if (quote == '\'' && **p == '\'')
				c = *(*p)++;
		}
		if (n + 1 >= size || !c)
			return false;
		out[n++] = c;
	}
	out[n] = 0;
	if (!quote)
		return true;
	if (*p == end)
		return false;
	(*p)++;
	return *p == end || **p == ' ' || **p == '\t' || **p == '\r';
}

static bool read_seq(const char *text, uint64_t *seq)
{
	*seq = 0;
	if (!*text || strlen(text) > 18)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		*seq = *seq * 10 + (uint64_t)(*text - '0');
	}
	return *seq > 0;
}

static int check_order(const struct reader *r, const struct aof_manifest *m, const struct aof_file *f)
{
	const struct aof_file *incr = aof_manifest_last_incr(m);
	if (!f->name[0] || strchr(f->name, '/'))
		return bad(r, "a file name must not be empty or hold a path");
	if (f->type == AOF_BASE && aof_manifest_base(m))
		return bad(r, "there is more than one base file");
	if (f->type == AOF_INCR && incr && f->seq <= incr->seq)
		return bad(r, "the numbers of the increments do not rise");
	return 0;
}

static int parse_line(const struct reader *r, struct aof_manifest *m, const char *p, const char *end)
{
	struct aof_file f = { .type = 0 };
	bool name = false, seq = false;
	char key[32], value[AOF_NAME_MAX];
	while (word(&p, end, key, sizeof key)) {
		if (!word(&p, end, value, sizeof value))
			return bad(r, "a word without value");
		if (!strcasecmp(key, "file")) {
			memcpy(f.name, value, sizeof value);
			name = true;
		} else if (!strcasecmp(key, "seq")) {
			seq = read_seq(value, &f.seq);
		} else if (!strcasecmp(key, "type")) {
			f.type = value[0] && !value[1] && strchr("bhi", value[0]) ? value[0] : 0;
		}
	}
	while (p < end && strchr(" \t\r", *p))
		p++;
	if (p != end || !name || !seq || !f.type)
		return bad(r, "must be: file <name> seq <number> type <b|h|i>");
	int err = check_order(r, m, &f);
	err = err ? err : aof_manifest_add(m, f.name, f.seq, (enum aof_type)f.type);
	return err == -ENAMETOOLONG ? bad(r, "the file name is too long") : err;
}

static int parse_lines(struct reader *r, struct aof_manifest *m)
{
	for (r->line = 1; r->p < r->end; r->line++) {
		const char *lf = memchr(r->p, '\n', (size_t)(r->end - r->p)), *from = r->p;
		if (!lf)
			return bad(r, "the file ends in the middle of the line");
		r->p = lf + 1;
		if (lf - from >= AOF_LINE_MAX)
			return bad(r, "the line is too long");
		if (*from == '#')
			continue;
		int err = parse_line(r, m, from, lf);
		if (err)
			return err;
	}
	return m->n ? 0 : bad(r, "it names no file");
}

int aof_manifest_parse(struct aof_manifest *m, const char *text, size_t len, char *error, size_t error_size)
{
	struct reader r = { .p = text, .end = text + len, .error = error, .error_size = error_size };
	*error = 0;
	int err = parse_lines(&r, m);
	if (err)
		aof_manifest_clear(m);
	return err;
}

int aof_manifest_read(struct aof_manifest *m, const char *path, char *error, size_t error_size)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		int err = -errno;
		snprintf(error, error_size, "%s", strerror(-err));
		if (fd >= 0)
			close(fd);
		return err;
	}
	size_t size = (size_t)st.st_size;
	char *text = size < MANIFEST_MAX ? malloc(size + 1) : NULL;
	ssize_t got = text ? io_read_at(fd, path, text, size, 0) : -ENOMEM;
	close(fd);
	if (got < 0)
		snprintf(error, error_size, "%s", strerror((int)-got));
	int err = got < 0 ? (int)got : aof_manifest_parse(m, text, (size_t)got, error, error_size);
	free(text);
	return err;
}

/* ------------------------------------------------------------------ writing */

char *aof_manifest_text(const struct aof_manifest *m, size_t *len)
{
	char *text = malloc(m->n * LINE_SPACE + 1);
	size_t n = 0;
	if (!text)
		return NULL;
	for (size_t i = 0; i < m->n; i++)
		n += print_line(text + n, &m->v[i]);
	text[n] = 0;
	*len = n;
	return text;
}

static int write_file(const char *path, const char *text, size_t len)
{
	struct io_file f;
	int err = io_open(&f, path, IO_TRUNC);
	if (err)
		return err;
	err = io_write(&f, text, len);
	err = err ? err : io_sync(&f);
	io_close(&f);
	return err;
}

int aof_manifest_write(const struct aof_manifest *m, const char *path)
{
	char temp[4096];
	size_t len;
	if (!io_temp_name(path, temp, sizeof temp))
		return -ENAMETOOLONG;
	char *text = aof_manifest_text(m, &len);
	if (!text)
		return -ENOMEM;
	int err = write_file(temp, text, len);
	free(text);
	err = err ? err : io_rename(temp, path);
	if (err)
		io_unlink(temp);
	return err ? err : io_sync_dir(path);
}
