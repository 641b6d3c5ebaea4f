/*
 * The doorbell, for Spin: how a daemon that sleeps hears of a commit. README.md says what is
 * checked, and what each MUTANT and each GAP is.
 *
 * But with POLL there is no poll: the bell alone must make each committed job be found.
 * A step is one access to what is shared: a sequence, a lock, a snapshot, a commit.
 */

#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef GAP
#define GAP 0              /* a race that is left to the poll on purpose */
#endif
#ifndef POLL
#define POLL 0
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef DAEMONS
#define DAEMONS 2
#endif
#ifndef DROPS
#define DROPS 0            /* sessions that are lost, in all */
#endif
#ifndef RESUMES
#define RESUMES 0          /* whether an operator resumes a channel, on which job 2 waits */
#endif

#define NOTHING 255
#define RESUMED 2

/* Sequences are compared and never counted: a value that nobody knows is as good as a new one. */
byte armed;                /* bell_armed */
byte rung;                 /* bell_rung: somebody sleeps if they differ */
byte heard[3] = NOTHING;   /* the value of bell_armed that a session has in its hands */

/* Job n is producer n's; of two, the first has the lower position. */
bool is_visible[3];
bool is_taken[3];
bool is_locked[2];         /* a producer's RowExclusiveLock on deliveries */

bool is_listening[2] = true;
bool is_rung[2];           /* Bell */
bool is_expecting[2];      /* what arming found out about producers */
byte floor[2];             /* a look that is not full begins here */
bool is_full_due[2];       /* the arming look before was not full: time goes by, this one is */
byte drops;

byte NO_LOST_WAKEUP;       /* zero: an error shows its name */

#define WAITS(job) (is_visible[job] && !is_taken[job])
#define ANYBODY_INSERTS (is_locked[0] || is_locked[1])

hidden byte name[6];

inline give_name(value) {
  if
  :: value == NOTHING
  :: value != NOTHING && name[value] == NOTHING -> name[value] = names; value = names; names++
  :: value != NOTHING && name[value] != NOTHING -> value = name[value]
  fi
}

/* Name the values anew, in order of appearance, so that equal situations are one state. */
inline rename() {
  names = 0;
  do
  :: names < 6 -> name[names] = NOTHING; names++
  :: else -> break
  od;
  names = 0;
  give_name(rung); give_name(armed);
  give_name(heard[0]); give_name(heard[1]); give_name(heard[2]);
  names = 0
}

/* ring(): each sequence is read for itself, and set for itself. */
inline ring(me) {
  d_step { heard[me] = armed; rename() };
  if
  :: heard[me] != rung ->
       d_step { heard[me] = armed; rename() };
       d_step { rung = heard[me]; notifies = true; rename() }
  :: else
  fi
}

/* After the commit, whenever it comes, to each daemon for itself. */
inline notify() {
  is_rung[0] = is_rung[0] || is_listening[0];
  is_rung[1] = is_rung[1] || is_listening[1]
}

proctype Producer(byte me) {
  bool rings, notifies;
  byte names;

  is_locked[me] = true;
  d_step { heard[me] = armed; rename() };                 /* enqueue_jobs */
  d_step {
    rings = (heard[me] != rung);
#if MUTANT == 3
    if :: rings -> rung = heard[me]; notifies = true; rings = false :: else fi;
#endif
#if GAP == 2
    rings = false;                                        /* chimeway.notify = off */
#endif
    heard[me] = NOTHING;
    rename()
  }
  if
  :: goto ended                                           /* rolled back */
  :: rings -> ring(me)                                    /* ring_at_commit */
  :: !rings
  fi;
#if GAP == 1
  if :: goto ended :: skip fi;                            /* refused after it rang */
#endif
#if MUTANT == 5
  is_locked[me] = false;
#endif
  is_visible[me] = true;
  is_locked[me] = false;
  if
  :: notifies -> notify()
  :: else
  fi;
ended:
  atomic { is_locked[me] = false; heard[me] = NOTHING; rings = false; notifies = false; rename() }
}

/* resume_channel holds no lock on deliveries, so no daemon expects it. It notifies whatever the bell
   says; mutant 10 asks the bell when it is called, as ring() does. */
proctype Operator() {
  bool notifies;
  byte names;

#if MUTANT == 10
  ring(RESUMED);
#else
  notifies = true;
#endif
  is_visible[RESUMED] = true;
  if
  :: notifies -> notify()
  :: else
  fi;
  d_step { heard[RESUMED] = NOTHING; notifies = false; rename() }
}

#define CAN_SEE(job) (WAITS(job) && (is_full || job == RESUMED || job >= floor[me]))

/* Take the first job that this look can see. */
inline look() {
  d_step {
    has_found = true;
    if
    :: CAN_SEE(0) -> is_taken[0] = true; floor[0] = 0; floor[1] = 0
    :: else ->
         if
         :: CAN_SEE(1) -> is_taken[1] = true; floor[me] = !is_taken[0]
         :: else ->
              if
              :: CAN_SEE(RESUMED) -> is_taken[RESUMED] = true
              :: else -> has_found = false
              fi
         fi
    fi;
    is_full = false
  }
}

proctype Daemon(byte me) {
  byte names;
  bool has_found, is_full;

awake:
  atomic {
    is_full_due[me] = false;
    if :: is_full = true :: skip fi;
    look();
    if :: has_found -> has_found = false; goto awake :: else fi
  }
arming:
  atomic { armed = 5; rename() };                         /* a value that nobody knows */
#if MUTANT != 2 && MUTANT != 4
  is_expecting[me] = ANYBODY_INSERTS;
#endif
#if MUTANT != 1
  atomic {
    if
    :: is_full = true; is_full_due[me] = false
    :: !is_full_due[me] -> is_full_due[me] = true;
#if MUTANT != 6
         is_expecting[me] = true
#endif
    fi;
    look();
    if :: has_found -> has_found = false; is_expecting[me] = false; goto awake :: else fi
  }
#endif
#if MUTANT == 4
  is_expecting[me] = ANYBODY_INSERTS;
#endif
#if MUTANT == 9
  is_rung[me] = false;
#endif
#if DROPS
  if
  :: atomic { drops < DROPS -> drops++;                   /* next_due asks in a new session */
       floor[me] = 0; is_full_due[me] = true; is_expecting[me] = (MUTANT != 7) }
  :: skip
  fi;
#endif
end_asleep:
  if
  :: atomic { is_rung[me] -> is_rung[me] = false; is_expecting[me] = false; goto awake }
  :: atomic { is_expecting[me] || POLL -> is_expecting[me] = false; goto arming }
  fi
}

#if DROPS
proctype Listener(byte me) {
  do
  :: atomic { drops < DROPS -> drops++; is_listening[me] = false };
     atomic { is_listening[me] = true; is_rung[me] = (MUTANT != 8) }
  :: break
  od
}
#endif

init {
  atomic {
    run Daemon(0); run Producer(0);
#if DAEMONS > 1
    run Daemon(1);
#endif
#if PRODUCERS > 1
    run Producer(1);
#endif
#if DROPS
    run Listener(0);
#endif
#if RESUMES
    run Operator()
#endif
  }
#if !POLL
  /* Nothing can move any more. */
  timeout -> assert(NO_LOST_WAKEUP || (!WAITS(0) && !WAITS(1) && !WAITS(RESUMED)))
#endif
}

#ifdef LIVE
ltl found {
  [] ((WAITS(0) -> <> !WAITS(0)) && (WAITS(1) -> <> !WAITS(1)) &&
      (WAITS(RESUMED) -> <> !WAITS(RESUMED)))
}
#endif
