/* repl_id: the name of this server's history, 40 hex digits, new with each start. Any thread. */
#ifndef SERVER_REPL_ID_H
#define SERVER_REPL_ID_H

void repl_id_get(char out[static 41]);
void repl_id_change(void);

#endif
