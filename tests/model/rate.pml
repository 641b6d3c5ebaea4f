/*
 * A rate that several daemons share, for Spin: grant_slots and spend_slots of sql/functions, with
 * what may come between. README.md says what is checked, and what each MUTANT breaks.
 *
 * Time is in gaps: a call moves paid_until on by one, and BURST of them may be ahead of now.
 */

#ifndef MUTANT
#define MUTANT 0
#endif
#define DAEMONS 3
#define BURST 2
#define TIME 2             /* how far the clock goes */

byte now;
byte paid_until;
bool is_locked;
byte lent;                 /* calls that began, in all */

/* Zero: an error shows the name. */
byte T1_NEVER_LENT_TWICE;

#define IS_TOO_FAR(t) (paid_until > (t) + BURST)
#define OWED(t) ((paid_until <= (t) || IS_TOO_FAR(t)) -> 0 : paid_until - (t))
#define FREE(t) (BURST - OWED(t))

proctype Daemon() {
  byte t, granted;

  t = now;                                       /* claim: v_now */
  if
  :: atomic { FREE(t) > 0 && (!is_locked || MUTANT == 2) ->   /* waited for, looked at again */
       is_locked = true }
  :: atomic { !is_locked && FREE(t) == 0 -> goto left }       /* not locked: nothing is lent */
  fi;
#if MUTANT != 1
  t = now;                                       /* grant_slots: read anew under the lock */
#endif
  granted = FREE(t);
  if
  :: granted > 0 -> granted--                    /* there may be less to do than is free */
  :: skip
  fi;
#if MUTANT != 1
  t = now;                                       /* spend_slots: later still */
#endif
  atomic {
    paid_until = t + OWED(t) + granted;
    lent = lent + granted;
    assert(T1_NEVER_LENT_TWICE || lent <= BURST + now);
    is_locked = false };
left:
  skip
}

proctype Clock() {
  do
  :: now < TIME -> now++
  :: break
  od
}

init {
  byte i;

  atomic {
    do
    :: i < DAEMONS -> run Daemon(); i++
    :: else -> break
    od;
    run Clock()
  }
}
