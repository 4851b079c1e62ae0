/*
 * Timers that fire when the test says so, in place of net's: linked instead of them, since the
 * program that defines the functions of net_timer wins over the library.
 */
#ifndef REMORA_FAKE_TIMER_H
#define REMORA_FAKE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The wall clock that goes with them, in ms; tests set it to what they like. */
extern int64_t fake_timer_wall_ms;

/* For rotation_options. */
int64_t fake_timer_wall(void);

/* Time until the next timer fires; UINT64_MAX: none runs. */
uint64_t fake_timer_next_ms(void);

/* Moves the wall clock by that and fires the timer that is due. False when none runs. */
bool fake_timer_fire_next(void);

/* Lets `ms` pass, firing whatever comes due on the way. */
void fake_timer_pass(uint64_t ms);

/* Lets `ms` pass for nobody: a suspended host, whose timers do not count, or a stepped clock. */
void fake_timer_step(int64_t ms);

/* Timers that were made and not freed. */
size_t fake_timer_num(void);

#endif
