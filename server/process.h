#ifndef P_H
#define P_H
void process_ready(void);
void process_cleanup(void);
#endif
