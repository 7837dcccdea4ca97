package queue

import "time"

// EffectKind says what is to be done.
type EffectKind uint8

// The effects. The fields of Effect that each uses are named; Task is set in all that are about
// one.
const (
	// Admitted: the queue has the Task. Its submitter is told, and has back what the task took of
	// its credit while it waited for room.
	Admitted EffectKind = iota + 1
	// Assign: the Task is sent to Worker, as the answer to its request N if that is not 0. First
	// says that the worker has nothing else: it is written at once. If it cannot be sent at all,
	// Unsent is the answer; if the worker is gone, nothing, for Leave follows.
	Assign
	// Recall: Worker is asked to give the Task back unless it has begun with it, or the items of a
	// batch that it has not begun with.
	Recall
	// Cancel: Worker is told that the Task is cancelled; Soft says that its time is over.
	Cancel
	// Dump: Worker is asked where its goroutines are. It is about to be killed.
	Dump
	// Kill: Worker is killed, for the Task did not end in its grace after it was certain to end
	// with Verdict. It may take its time, after the lock.
	Kill
	// NoTask: the request N of Worker gets no task.
	NoTask
	// Retired: Worker holds nothing any more, and gets nothing new. It may be told again.
	Retired
	// Shrunk: only the first N items of the Task, a batch, are still in it.
	Shrunk
	// Again: the attempt of the Task on Worker has ended with Verdict, and another one comes, After
	// a pause.
	Again
	// Outcome: the Task has ended with Verdict, its one outcome. Worker is who had it, or 0. Letter
	// says whether it is a dead letter now. Whoever waits for room or for the outcome is told. At
	// is the moment for which the Task has waited, or at which its next attempt would have come, or
	// 0 if it was due.
	Outcome
	// Store: the Task is stored in the Backend, due After a time, and Stored is the answer. Its
	// submitter has its credit back.
	Store
	// EndLease: the Backend is told how the lease of the Task ends: LeaseEnd, After for Later, and
	// At for Keep: the moment at which the next run is to have it, or 0 for at once, as for Return.
	// Verdict is how the attempt has ended, on Worker if that is not 0.
	// If there is no lease now, it is told when there is one, unless it is to keep the task or has
	// it back.
	EndLease
	// Draw: up to N more tasks of the Lane are fetched from the Backend. Each is one Came, and then
	// one Arrived, Found or Missed.
	Draw
	// DrawLess: N of the tasks of the Lane that were drawn and have not come are not fetched any
	// more. One that is fetched all the same is given back, and the rules do not hear of it.
	DrawLess
	// DrawNoMore: nothing more of the Lane is fetched; what is fetched all the same is given back.
	DrawNoMore
	// Try: one task of the Lane is fetched from the Backend if one is due there, for the request N
	// of Worker, which does not wait. That is one Arrived or Found, if there was one, and then
	// Tried.
	Try
	// Wake: Tick is to be called at the moment At, in place of the one of the last Wake; if that
	// has passed, now, before the lock is let go. At 0 it is to be called now as well, and the
	// moment of the last Wake stays.
	Wake
	// Token: the Task has gone through the Gate, and counts for N. Without a Task the Limits of the
	// Gate may have changed. Refilled is the answer, before the lock is let go.
	Token
	// Takers: it is other workers that take tasks now, so that waits which could end may not any
	// more.
	Takers
	// Idle: no task is left.
	Idle
)

// Letter says what the outcome of a task means for the list of dead letters.
type Letter uint8

// The letters.
const (
	NoLetter  Letter = iota // the task is not in the list
	NewLetter               // it has used up its attempts, and is in the list
	OldLetter               // it is back in the list as it was there before
)

// LeaseEnd is what a Backend is told about a lease that ends.
type LeaseEnd uint8

// The ends of a lease.
const (
	Remove LeaseEnd = iota + 1 // the task has its outcome, and is removed
	Keep                       // the next run of the program is to have it
	GiveUp                     // it has used up its attempts
	Later                      // it is due again, after a time
	Return                     // Keep, and nobody has begun with the task under this lease
)

// Effect is something that is to be done about an event. The fields beside Kind are for the kinds
// that name them.
type Effect struct {
	Kind     EffectKind
	First    bool          // of Assign: the worker has nothing else
	Soft     bool          // of Cancel: a time is over
	Letter   Letter        // of Outcome
	LeaseEnd LeaseEnd      // of EndLease
	Gate     *Gate         // of Token
	Worker   Worker        // whom it is for, or who had the task
	Task     *Task         // that it is about
	N        uint64        // a number, by Kind
	At       Time          // of Wake, Outcome and EndLease
	After    time.Duration // from now on
	Lane     *Lane         // of Draw, DrawLess, DrawNoMore and Try; not to be changed
	Verdict  Verdict       // of Kill, Again, Outcome and EndLease
}
