/*
 * The breaker of one channel, for Spin: claim with grant_slots and spend_slots, record with
 * judge_probes, open_breaker, rescue. README.md says what is checked, and what each MUTANT breaks.
 *
 * No clock: that retry_at has come is said at any moment, and was_due[] is what a claim that began
 * earlier finds (b.retry_at <= p_now).
 */

#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef DAEMONS
#define DAEMONS 2
#endif
#define DELIVERIES 2
#ifndef FAILURES
#define FAILURES 2         /* calls that fail */
#endif
#ifndef LOSSES
#define LOSSES 1           /* leases that end while the call is under way */
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#define CLAIMS 9           /* each ends a delivery, or uses up one of the above */

#define PENDING 0
#define DISPATCHED 1
#define ENDED 2
#define NOBODY 255

byte status[DELIVERIES];
byte claim_of[DELIVERIES];
byte taken_by[DELIVERIES] = NOBODY;    /* not committed */
bool is_dead[CLAIMS];

bool is_open;
bool is_due;
bool was_due[DAEMONS];
byte locked_by = NOBODY;
byte probe_claim;                      /* 0: none */
byte probe_delivery;

byte last_claim;
byte failures_left = FAILURES, losses_left = LOSSES, deaths_left = DEATHS;

/* What really was a probe of this opening: for the assertions alone. */
byte openings;
byte opening_of[CLAIMS];               /* 0: claimed while it was closed */
byte newest_probe;

/* Zero: an error shows the name. */
byte B1_ONE_PROBE;
byte B2_ONLY_ITS_PROBE_DECIDES;
byte B3_CLOSED_UNTIL_DUE;
byte L1_ALL_END;

#define IS_UNDER(d, c) (status[d] == DISPATCHED && claim_of[d] == (c))
#define IS_HALF_OPEN (probe_claim != 0 && IS_UNDER(probe_delivery, probe_claim))
#if MUTANT == 3
#define IS_PROBING (probe_claim != 0)
#else
#define IS_PROBING IS_HALF_OPEN
#endif
#define ALL_ENDED (status[0] == ENDED && status[1] == ENDED)
#define IS_A_PROBE(d) (status[d] == DISPATCHED && is_open && opening_of[claim_of[d]] == openings)

inline forget_due() {
  is_due = false;
  for (k : 0 .. DAEMONS - 1) { was_due[k] = false }
}

/* Whoever changes the row waits for who has it locked. */
inline judge(c, is_success) {
#if MUTANT == 5
  locked_by == NOBODY;
#else
  locked_by == NOBODY;
  if
  :: is_open && probe_claim == c -> skip
  :: else -> goto judged
  fi;
#endif
  if
  :: is_open ->
     assert(B2_ONLY_ITS_PROBE_DECIDES || newest_probe == c);
     probe_claim = 0;
     forget_due();
     if
     :: is_success -> is_open = false
     :: else
     fi
  :: else
  fi
}

inline open_breaker() {
  if
  :: !is_open -> is_open = true; openings++; probe_claim = 0; newest_probe = 0; forget_due()
  :: else
  fi
}

proctype Daemon(byte me) {
  byte k, d, room, number, mine[2], turn;
  bool has_lock, is_probe, is_success, matched;

end:
again:
  /* What cannot bring anything changes nothing, and is left out. */
  atomic { (status[0] == PENDING || status[1] == PENDING) &&
      (!is_open || ((is_due || MUTANT == 6) && !IS_PROBING)) ->
    d = 0; was_due[me] = is_due; number = 0; has_lock = false; is_probe = false };

  atomic {                                       /* grant_slots: who is to be retried */
    if
#if MUTANT == 2
    :: is_open && was_due[me] -> has_lock = true
#elif MUTANT == 6
    :: is_open && locked_by == NOBODY -> has_lock = true; locked_by = me
#else
    :: is_open && was_due[me] && locked_by == NOBODY -> has_lock = true; locked_by = me
#endif
    :: else
    fi };
  atomic {                                       /* a statement of its own */
    if
    :: !is_open -> room = 2
    :: is_open && has_lock && !IS_PROBING -> room = 1; is_probe = true
    :: else -> room = 0
    fi;
    assert(B3_CLOSED_UNTIL_DUE || !is_probe || was_due[me]) };
  atomic {                                       /* jobs: skip locked */
    for (k : 0 .. DELIVERIES - 1) {
      if
      :: room > 0 && status[k] == PENDING && taken_by[k] == NOBODY ->
         taken_by[k] = me; mine[number] = k; number++; room--
      :: else
      fi
    } };
  atomic {                                       /* spend_slots; commit */
#if MUTANT == 1 || MUTANT == 2
    (number == 0 || !is_open || locked_by == NOBODY || locked_by == me);
#endif
    if
    :: number > 0 ->
       last_claim++;
       opening_of[last_claim] = (is_probe -> openings : 0);
       for (k : 0 .. number - 1) {
         status[mine[k]] = DISPATCHED; claim_of[mine[k]] = last_claim; taken_by[mine[k]] = NOBODY
       };
       if
#if MUTANT == 1
       :: is_open ->
#else
       :: is_open && was_due[me] ->
#endif
          probe_claim = last_claim; probe_delivery = mine[0]
       :: else
       fi;
       if
       :: is_probe -> newest_probe = last_claim
       :: else
       fi;
       d = last_claim;
       assert(B1_ONE_PROBE || !IS_A_PROBE(0) || !IS_A_PROBE(1))
    :: else
    fi;
    if
    :: locked_by == me -> locked_by = NOBODY
    :: else
    fi };
  if
  :: number == 0 -> goto again
  :: else -> turn = 0
  fi;

  /* d: the claim. Its calls end one by one. */
  do
  :: turn < number ->
     if
     :: atomic { deaths_left > 0 -> deaths_left--; is_dead[d] = true; goto again }
     :: is_success = true
     :: atomic { failures_left > 0 -> failures_left--; is_success = false }
     fi;
     atomic {                                    /* record: settle, and a look for a probe */
       if
       :: IS_UNDER(mine[turn], d) -> status[mine[turn]] = (is_success -> ENDED : PENDING)
       :: else                                   /* late */
       fi;
#if MUTANT == 4
       matched = is_open && probe_claim != 0 && probe_delivery == mine[turn]
#else
       matched = is_open && probe_claim == d && probe_delivery == mine[turn]
#endif
     };
     if
     :: matched ->
        atomic {
#if MUTANT == 4
          judge(probe_claim, is_success)
#else
          judge(d, is_success)
#endif
        }
     :: else
     fi;
judged:
     if                                          /* enough failed, or not */
     :: atomic { !is_success -> open_breaker() }
     :: true
     fi;
     turn++
  :: else -> break
  od;
  goto again
}

proctype Clock() {
end:
  do
  :: atomic { is_open && !is_due -> is_due = true }
  od
}

/* Leases run out: of who died, and of who is only slow. */
inline lose(d) {
  atomic { status[d] == DISPATCHED && (is_dead[claim_of[d]] || losses_left > 0) ->
    if
    :: is_dead[claim_of[d]]
    :: else -> losses_left--
    fi;
    status[d] = PENDING }
}

proctype Sweep() {
end:
  do
  :: lose(0)
  :: lose(1)
  od
}

init {
  byte i;

  atomic {
    for (i : 0 .. DAEMONS - 1) { run Daemon(i) }
    run Clock();
    run Sweep()
  };
  timeout -> assert(L1_ALL_END || ALL_ENDED)
}

#ifdef LIVE
ltl all_end { <> ALL_ENDED }
#endif
