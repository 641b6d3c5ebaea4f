/*
 * Tables and SQL functions of lease.pml: what each function of sql/functions does in one step.
 */

#define SLOTS (DAEMONS * HANDS)
#define SERIES (1 + REPLAYS)
/* Ids that can be drawn and numbers that can be given; 0 is null. */
#define CLAIMS (DELIVERIES * (MAX_ATTEMPTS * SERIES + RELEASES + UNHEARD) + 2)

mtype:status = { absent, pending, dispatched, failed, succeeded, cancelled, deleted };
/* What is in hand: not called yet, not to be called, or how the call ended. */
mtype:hand = { nothing, waiting, unsent, success, temporary, uncertain, permanent, lost };

typedef Delivery {
  mtype:status status = absent;
  byte claim;              /* claim_id */
  byte attempts;           /* attempt_count */
  byte before;             /* attempts_before */
  bool is_end_asked;       /* requested_status */
  byte jobs;               /* rows in the queue */
  bool is_due;
  bool is_held;
  bool rings;
  /* History. */
  bool numbers[CLAIMS];         /* delivery_attempts by number; */
  bool was_recorded[CLAIMS];    /* by claim, of a call; */
  bool was_lost[CLAIMS];        /* by claim, of a lost lease */
  /* For the properties alone. */
  bool called[CLAIMS];
  bool was_promised_an_end;
  byte claimed;
  byte released;
  byte replays;
  byte successes;          /* recorded in this series */
  byte arrived;            /* calls that took effect outside */
  byte doubts;             /* attempts that were lost or uncertain */
}

typedef Claim {
  bool exists;
  byte open;               /* open_count */
  bool has_lapsed;         /* expires_at is past */
  bool fits;               /* the daemon's own clock: a whole call ends before that */
  bool is_unheard;         /* the daemon lives and does not know of it */
}

Delivery delivery[DELIVERIES];
Claim claim[CLAIMS];
byte claim_ids;            /* the sequence */

mtype:hand hand[SLOTS] = nothing;      /* daemon n has the slots from n * HANDS on */
byte hand_claim[SLOTS];
byte hand_delivery[SLOTS];

byte crashes, releases, unheard, beats, replays, holds, deletions;

/* All zero: an error shows the name. */
byte S1_TERMINAL_STAYS, S2_MAX_ATTEMPTS, S3_ONE_SUCCESS, S4_NUMBERS_ONCE, S5_NUMBERS_WHOLE,
  S6_ONE_CALL_A_CLAIM, S7_CLAIM_EXPLAINED, S8_REPEATS_EXPLAINED, S9_CLAIMS_BOUNDED,
  S10_CALL_WITHIN_LEASE, S11_LATE_ONLY_IF_LOST, S12_CANCEL_HOLDS, I1_JOB_OR_CLAIM,
  I2_CLAIM_COUNTS, L1_ALL_END;

#define IS_TERMINAL(d) (delivery[d].status == succeeded || delivery[d].status == cancelled)
#define IS_WAITING(d) (delivery[d].status == pending || delivery[d].status == failed)
#define IS_UNDER(d, c) (delivery[d].status == dispatched && delivery[d].claim == (c))
#define FAILURES(d) (delivery[d].attempts - delivery[d].before)

#define HELD_BY(s) (hand_claim[s] == c)
#if DAEMONS > 1
#define ANY_HAND(test) (test(0) || test(1) || test(2) || test(3))
#else
#define ANY_HAND(test) (test(0) || test(1))
#endif
#define WAITS_IN(s) (hand_claim[s] == c && hand[s] == waiting)

inline check_numbers(PROPERTY, d, last) {
  n = 1;
  do
  :: n <= last -> assert(PROPERTY || delivery[d].numbers[n]); n++
  :: else -> break
  od;
  n = 0
}

/* After each step of the database. */
inline check_invariants() {
  n = 0;
  do
  :: n < DELIVERIES ->
       assert(I1_JOB_OR_CLAIM || delivery[n].jobs == IS_WAITING(n));
       assert(I1_JOB_OR_CLAIM || (delivery[n].claim != 0) == (delivery[n].status == dispatched));
       assert(I1_JOB_OR_CLAIM || delivery[n].claim == 0 || claim[delivery[n].claim].exists);
       n++
  :: else -> break
  od;
  n = 1;
  do
  :: n < CLAIMS ->
       assert(I2_CLAIM_COUNTS || claim[n].exists == (claim[n].open > 0));
       assert(I2_CLAIM_COUNTS || claim[n].open == (delivery[0].claim == n)
#if DELIVERIES > 1
         + (delivery[1].claim == n)
#endif
       );
       n++
  :: else -> break
  od;
  n = 0
}

inline move(d, to) {
  assert(S1_TERMINAL_STAYS || !IS_TERMINAL(d));
  delivery[d].status = to
}

inline put_job(d, is_now) {
  delivery[d].jobs++;
  delivery[d].is_due = is_now;
  delivery[d].rings = is_now
}

inline take_job(d) {
  delivery[d].jobs--;
  delivery[d].is_due = false;
  delivery[d].is_held = false;
  delivery[d].rings = false
}

inline leave_claim(d, c) {
  delivery[d].claim = 0;
  delivery[d].is_end_asked = false;
#if MUTANT != 14
  if
  :: claim[c].open > 0 -> claim[c].open--
  :: else
  fi;
  claim[c].exists = claim[c].open > 0;
  claim[c].has_lapsed = claim[c].has_lapsed && claim[c].exists;
  claim[c].is_unheard = claim[c].is_unheard && claim[c].exists
#endif
}

/* settle(): the attempt, the state it leads to, and the claim, in one statement. */
inline settle(d, c, how) {
#if MUTANT == 5
  delivery[d].attempts++;
#endif
  assert(S4_NUMBERS_ONCE || !delivery[d].numbers[delivery[d].attempts]);
  delivery[d].numbers[delivery[d].attempts] = true;
  delivery[d].was_recorded[c] = (how != lost);
  delivery[d].was_lost[c] = (how == lost && ANY_HAND(HELD_BY));
  if
  :: how == success ->
       move(d, succeeded);
       assert(S3_ONE_SUCCESS || delivery[d].successes == 0);
       delivery[d].successes++
  :: how == permanent -> move(d, cancelled)
  :: how == lost || how == uncertain -> move(d, cancelled)       /* on_uncertain = hold */
  :: how == lost || how == uncertain || how == temporary ->
       if
       :: (delivery[d].is_end_asked && MUTANT != 16) || FAILURES(d) >= MAX_ATTEMPTS ->
            move(d, cancelled)
       :: else ->
            move(d, failed);
#if MUTANT != 13
            put_job(d, false)
#endif
       fi
  fi;
  if
  :: how == lost || how == uncertain -> delivery[d].doubts++
  :: else
  fi;
  leave_claim(d, c);
  if
  :: IS_TERMINAL(d) -> check_numbers(S5_NUMBERS_WHOLE, d, delivery[d].attempts)
  :: else
  fi
}

/* release_unsent() */
inline release_unsent(d, c) {
  if
  :: IS_UNDER(d, c) || (MUTANT == 11 && delivery[d].status == dispatched) ->
#if MUTANT != 5 && MUTANT != 20
       delivery[d].attempts--;
#endif
       delivery[d].released++;
       if
       :: delivery[d].is_end_asked -> move(d, cancelled)
       :: else ->
            move(d, (FAILURES(d) == 0 -> pending : failed));
            put_job(d, true)
       fi;
       leave_claim(d, c);
       if
       :: IS_TERMINAL(d) -> check_numbers(S5_NUMBERS_WHOLE, d, delivery[d].attempts)
       :: else
       fi
  :: else
  fi
}

/* find_unheard(), then release_unsent() by name, of one claim. */
inline give_back_unheard(c) {
  release_unsent(0, c);
#if DELIVERIES > 1
  release_unsent(1, c);
#endif
  check_invariants()
}

/* record(), with its three other verdicts. */
inline record(d, c, how) {
  if
  :: IS_UNDER(d, c) || (MUTANT == 1 && delivery[d].status == dispatched) -> settle(d, c, how)
  :: else ->
       if
       :: delivery[d].was_recorded[c] && MUTANT != 19            /* already_applied */
       :: else ->
            if
            :: delivery[d].status == deleted                     /* gone */
            :: else ->                                           /* stale */
                 assert(S11_LATE_ONLY_IF_LOST || delivery[d].was_lost[c])
            fi
       fi
  fi;
  check_invariants()
}

/* rescue(), of one claim. */
inline rescue(c) {
  d = 0;
  do
  :: d < DELIVERIES ->
       if
       :: IS_UNDER(d, c) ->
#if MUTANT == 5
            delivery[d].was_lost[c] = true;
#endif
#if MUTANT == 5 || MUTANT == 9
            move(d, failed); put_job(d, false); leave_claim(d, c)
#elif MUTANT != 12
            settle(d, c, lost)
#endif
       :: else
       fi;
       d++
  :: else -> break
  od;
  d = 0;
  claim[c].exists = false;
  claim[c].open = 0;
  claim[c].has_lapsed = false;
  claim[c].is_unheard = false;
  check_invariants()
}

#define IS_CLAIMABLE(d) \
  (delivery[d].jobs > 0 && delivery[d].is_due && !delivery[d].is_held && \
   (MUTANT != 4 || delivery[d].rings))
#define ROOM(me) ((hand[me * HANDS] == nothing) + (hand[me * HANDS + 1] == nothing))

#if MUTANT == 10
#define NEXT_CLAIM_ID (delivery[0].attempts + 1)
#else
#define NEXT_CLAIM_ID (claim_ids + 1)
#endif

/* claim(), of one delivery. */
inline claim_delivery(d) {
  take_job(d);
  if
  :: IS_WAITING(d) -> move(d, cancelled)                         /* by policy: no attempt */
  :: IS_WAITING(d) || MUTANT == 8 ->
       assert(S2_MAX_ATTEMPTS || FAILURES(d) < MAX_ATTEMPTS);
       check_numbers(S7_CLAIM_EXPLAINED, d, delivery[d].attempts);
       assert(S12_CANCEL_HOLDS || !delivery[d].was_promised_an_end);
       move(d, dispatched);
#if MUTANT != 5
       delivery[d].attempts++;
#endif
       delivery[d].claim = c;
       delivery[d].claimed++;
       assert(S9_CLAIMS_BOUNDED || delivery[d].claimed <=
         MAX_ATTEMPTS * (1 + delivery[d].replays) + delivery[d].released);
       claim_ids = (claim_ids > c -> claim_ids : c);
       claim[c].exists = true;
       claim[c].open++;
       claim[c].fits = true;
       claim[c].is_unheard = !is_heard;
       if
       :: is_heard ->
            slot = me * HANDS + (hand[me * HANDS] != nothing);
            hand[slot] = waiting; hand_claim[slot] = c; hand_delivery[slot] = d;
            slot = 0
       :: else
       fi
  fi
}
