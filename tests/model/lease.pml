/*
 * The life of a delivery, for Spin: claim, call, record, and what may come between. README.md
 * says what is checked, and what each MUTANT breaks.
 *
 * One SQL function is one atomic step: its commit happened or it did not. A daemon may die between
 * any two of them, and each answer may stay unheard. A lease may run out at any moment. Here is who
 * calls, in sql.pml what is called.
 */

#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef DELIVERIES
#define DELIVERIES 1
#endif
#ifndef DAEMONS
#define DAEMONS 2
#endif
#define HANDS 2            /* deliveries that a daemon may have in hand */
#ifndef MAX_ATTEMPTS
#define MAX_ATTEMPTS 2
#endif
/* How often at most, in all: */
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef RELEASES
#define RELEASES 1         /* a call is not begun: the gate is shut, the daemon stops */
#endif
#ifndef UNHEARD
#define UNHEARD 1          /* the commit happened, its answer was lost */
#endif
#ifndef BEATS
#define BEATS 1
#endif
#ifndef REPLAYS
#define REPLAYS 1
#endif
#ifndef HOLDS
#define HOLDS 0
#endif
#ifndef DELETIONS
#define DELETIONS 0        /* retention takes a terminal delivery away */
#endif

#include "sql.pml"

proctype Daemon(byte me) {
  byte c, slot, n;
  bool is_heard;

end_idle:
  do
  :: atomic { IS_CLAIMABLE(0) && ROOM(me) > 0 ->
       c = NEXT_CLAIM_ID;
       if
       :: is_heard = true
       :: unheard < UNHEARD -> unheard++
       fi;
       claim_delivery(0);
#if DELIVERIES > 1
       if
       :: IS_CLAIMABLE(1) && ROOM(me) > 0 -> claim_delivery(1)
       :: skip
       fi;
#endif
       c = 0; is_heard = false;
       check_invariants() }
#if DELIVERIES > 1
  :: atomic { IS_CLAIMABLE(1) && ROOM(me) > 0 ->
       c = NEXT_CLAIM_ID;
       is_heard = true;
       claim_delivery(1);
       c = 0; is_heard = false;
       check_invariants() }
#endif
  od
}

#define HAS(s, what) (hand[s] == what)
#define THE_CLAIM hand_claim[s]
#define THE_DELIVERY hand_delivery[s]

/* What only a record under this claim asks for goes with the last who could send one. */
inline forget(s) {
  delivery[hand_delivery[s]].called[hand_claim[s]] = false;
  delivery[hand_delivery[s]].was_recorded[hand_claim[s]] = false;
  delivery[hand_delivery[s]].was_lost[hand_claim[s]] = false;
  claim[hand_claim[s]].fits = claim[hand_claim[s]].fits && claim[hand_claim[s]].exists;
  hand[s] = nothing; hand_claim[s] = 0; hand_delivery[s] = 0
}

inline let_go(s) {
  if
  :: unheard < UNHEARD -> unheard++;                             /* it is asked again */
#if MUTANT == 23
       hand[s] = waiting
#endif
  :: forget(s)
  fi
}

/* One place in a daemon's hand: the call, and the record of it. */
proctype Hand(byte s) {
  byte n;

end_idle:
  do
  :: atomic { HAS(s, waiting) && (claim[THE_CLAIM].fits || MUTANT == 15) ->
       assert(S6_ONE_CALL_A_CLAIM || !delivery[THE_DELIVERY].called[THE_CLAIM]);
       assert(S10_CALL_WITHIN_LEASE || IS_UNDER(THE_DELIVERY, THE_CLAIM));
       delivery[THE_DELIVERY].called[THE_CLAIM] = true;
       if
       :: hand[s] = success; delivery[THE_DELIVERY].arrived++
       :: hand[s] = temporary
       :: hand[s] = uncertain; delivery[THE_DELIVERY].arrived++
       :: hand[s] = permanent
       :: releases < RELEASES -> releases++; hand[s] = unsent    /* our own fault */
       fi;
       assert(S8_REPEATS_EXPLAINED || delivery[THE_DELIVERY].arrived <=
         1 + delivery[THE_DELIVERY].replays + delivery[THE_DELIVERY].doubts) }
  :: atomic { HAS(s, waiting) && !claim[THE_CLAIM].fits -> hand[s] = unsent }
  :: atomic { HAS(s, waiting) && releases < RELEASES -> releases++; hand[s] = unsent }
  :: atomic { HAS(s, unsent) -> release_unsent(THE_DELIVERY, THE_CLAIM); check_invariants(); let_go(s) }
  :: atomic { hand[s] != nothing && !HAS(s, waiting) && !HAS(s, unsent) ->
       record(THE_DELIVERY, THE_CLAIM, hand[s]); let_go(s) }
  od
}

/* A lease, on both clocks: the gate shuts before it runs out. */
proctype Lease(byte c) {
  byte d, n;

end_idle:
  do
  :: atomic { claim[c].exists && claim[c].fits && !ANY_HAND(WAITS_IN) -> claim[c].fits = false }
  :: atomic { claim[c].exists && claim[c].fits && ANY_HAND(WAITS_IN) && releases < RELEASES ->
       releases++; claim[c].fits = false }
#if MUTANT != 7
  :: atomic { claim[c].exists && !claim[c].has_lapsed && (!claim[c].fits || MUTANT == 21) ->
       claim[c].has_lapsed = true }
#endif
  :: atomic { claim[c].exists && beats < BEATS && ANY_HAND(HELD_BY) ->
       beats++; claim[c].has_lapsed = false;
       if
       :: claim[c].fits = true
       :: skip                                                   /* not heard */
       fi }
  :: atomic { claim[c].exists && (claim[c].is_unheard || MUTANT == 22) ->
       give_back_unheard(c) }
#if MUTANT == 2
  :: claim[c].has_lapsed -> atomic { settle(0, c, lost); check_invariants() }
#elif MUTANT == 3
  :: atomic { claim[c].has_lapsed && FAILURES(0) < MAX_ATTEMPTS -> rescue(c) }
#else
  :: atomic { claim[c].has_lapsed -> rescue(c) }
#endif
  od
}

proctype Clock(byte d) {
end_idle:
  do
  :: atomic { delivery[d].jobs > 0 && !delivery[d].is_due -> delivery[d].is_due = true }
  od
}

proctype Crash() {
  byte s;

  do
  :: atomic { crashes < CRASHES -> crashes++;
       if
       :: s = 0
#if DAEMONS > 1
       :: s = HANDS
#endif
       fi;
       forget(s); s++; forget(s);
       s = 0 }
  :: break
  od
}

proctype Operator(byte d) {
  byte c, n;
  bool has_cancelled;

acts:
  do
  :: !has_cancelled -> has_cancelled = true; goto looks
  :: atomic { replays < REPLAYS &&
         (IS_TERMINAL(d) || (MUTANT == 18 && delivery[d].status == dispatched)) ->
       replays++;
       delivery[d].status = pending;
#if MUTANT != 17
       delivery[d].before = delivery[d].attempts;
#endif
       delivery[d].replays++;
       delivery[d].successes = 0;
       delivery[d].was_promised_an_end = false;
       put_job(d, true);
       check_invariants() }
  :: atomic { holds < HOLDS && delivery[d].jobs > 0 && !delivery[d].is_held ->
       holds++; delivery[d].is_held = true }
  :: atomic { delivery[d].is_held -> delivery[d].is_held = false }
  :: atomic { deletions < DELETIONS && IS_TERMINAL(d) ->
       deletions++; delivery[d].status = deleted }
  :: atomic { !delivery[d].is_held -> goto left }
  od;

/* cancel() looks three times, at three moments. */
looks:
  atomic {
    if
    :: delivery[d].jobs > 0 ->
#if MUTANT != 8
         take_job(d);
#endif
         move(d, cancelled);
         check_numbers(S5_NUMBERS_WHOLE, d, delivery[d].attempts);
#if MUTANT != 8
         check_invariants();
#endif
         goto acts
    :: else
    fi };
  atomic {
    if
    :: delivery[d].status == dispatched ->
#if MUTANT == 6
         c = delivery[d].claim;
         move(d, cancelled);
         leave_claim(d, c);
         check_numbers(S5_NUMBERS_WHOLE, d, delivery[d].attempts);
#else
         delivery[d].is_end_asked = true;
         delivery[d].was_promised_an_end = true;
#endif
         goto acts
    :: else
    fi };
  if
  :: IS_WAITING(d) -> goto looks
  :: else -> goto acts
  fi;
left:
  skip
}

init {
  byte i;
  byte n;

  atomic {
    do
    :: i < DELIVERIES -> delivery[i].status = pending; put_job(i, true); run Clock(i); i++
    :: else -> break
    od;
    run Operator(0); run Crash();
    i = 0;
    do
    :: i < DAEMONS -> run Daemon(i); i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < SLOTS -> run Hand(i); i++
    :: else -> break
    od;
    i = 1;
    do
    :: i < CLAIMS -> run Lease(i); i++
    :: else -> break
    od;
    i = 0
  }
  /* Nothing can move any more. */
  timeout;
  assert(L1_ALL_END || IS_TERMINAL(0) || delivery[0].status == deleted);
  assert(L1_ALL_END || IS_TERMINAL(DELIVERIES - 1) || delivery[DELIVERIES - 1].status == deleted)
}
