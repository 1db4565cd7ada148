/* The memory of a thread's stack. Once touched it stays resident for as long as the thread lives, however seldom it goes as deep again.
 *
 *     struct stack s;
 *     stack_note(&s);             by the thread itself, once
 *     stack_give_back(&s);        by the thread itself: what lies below its caller goes back to the system
 *
 * One madvise, and a page fault for each page that is touched again: for moments at which the thread is about to rest. */
#ifndef SLUICE_BASE_STACK_H
#define SLUICE_BASE_STACK_H

struct stack {
	char *lowest; /* NULL: not known, and nothing is given back */
};

void stack_note(struct stack *s);
void stack_give_back(const struct stack *s);

#endif
