package queue

// LieKind says what a worker has said that no honest one says at this time.
type LieKind uint8

// The lies. Honest is none.
const (
	Honest        LieKind = iota
	NotReady              // it spoke of tasks before it was ready, or after its end
	TooManyTypes          // it takes N types of tasks
	TwiceAType            // it takes the Type twice
	NotHeld               // it spoke of a task that it does not have
	BegunTwice            // it began with the Task again
	NotBegun              // it ended the Task, with which it had not begun
	NotABatch             // the result of the Task is one of a batch, or is none, and the Task is not
	NoOutcomes            // the result of the Task, a batch, has no outcome that can be read
	TooMany               // it has N outcomes, which is more than items
	ReturnedBegun         // it gave the Task back, with which it had begun
	NotRecalled           // it gave the Task, or items of it, back and was not asked to
	SplitTwice            // it split the Task twice
	SplitBeyond           // it split the Task behind item N, which there is not
	AskedTwice            // it asked for a task under the number N, which it uses
	AskedTooOften         // N of its requests for tasks wait already
	AskedForMany          // it asked for a task of one of N types or more, and has declared fewer
	NotDeclared           // it asked for tasks of the Type, which it has not declared
	SavedEarly            // it had a checkpoint of the Task, with which it had not begun
	NumberUsed            // it submitted a task under the number N, which it uses, or which is none
)

// Lie is what a worker has said that no honest one says. It costs the worker its life, which the
// caller sees to: Leave follows. The zero value is none.
type Lie struct {
	Kind LieKind
	Task *Task  // the task that the lie is about, or nil
	N    uint64 // the number that the Kind speaks of
	Type string // the type of tasks that the Kind speaks of
}

// Told reports whether it is a lie at all.
func (l Lie) Told() bool { return l.Kind != Honest }
