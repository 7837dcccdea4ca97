package multiprolab

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/outbox"
)

// Event is something that happened to a worker, to a message or to the program: one of the types
// *WorkerStarted, *WorkerReady, *WorkerStopped, *WorkerFailed, *DeadLetter, *HandlerFailed,
// *ProgramEnding and *EventsMissed. Config.OnEvent gets it, and Config.Logger a record of it.
// Main.Events tells all events, Main.Watch those of workers, and both *EventsMissed. An event is
// shared by all who get it: leave it as it is.
type Event interface {
	record() (level slog.Level, text string, attrs []slog.Attr)
}

// WorkerStarted says that the process of a worker has been started.
type WorkerStarted struct {
	Worker string
	PID    int
	Life   int // 1 for the first process of the instance
	At     time.Time
}

// WorkerReady says that the setup function of a worker has returned: it is up. If Life is above 1,
// it has been restarted. It also says that a spare has taken the place of a worker; see
// WorkerConfig.Spare.
type WorkerReady struct {
	Worker string
	PID    int
	Life   int
	Took   time.Duration // from the start of the process until it was set up; a spare has stood by after that
	At     time.Time
	// Spare is the name under which the process has stood by, if it has just taken the place of one
	// that has ended; otherwise empty.
	Spare string
}

// WorkerStopped says that a worker has ended because it was asked to, or because its event loop
// returned without an error. Without Restart it stays down, and so does one whose program ends in
// the pause.
type WorkerStopped struct {
	Worker  string
	PID     int
	Life    int
	Restart bool          // it will be replaced
	After   time.Duration // the pause before the replacement
	At      time.Time
	value   codec.Payload // what the worker left with Worker.SetExitValue; does not change
	codec   *codec.Codec  // decodes value; does not change
}

// Decode decodes the value that the worker left with Worker.SetExitValue into what v points to; see
// Message.Decode.
func (e *WorkerStopped) Decode(v any) error {
	if err := e.codec.Decode(e.value, v); err != nil {
		return &DecodeError{Receiver: MainName, Type: "exit value of " + e.Worker, Err: err}
	}
	return nil
}

// WorkerFailed says that a worker has died, or ended with an error; PID is 0 if it had no process.
// Without Restart it stays down, and so does one whose program ends in the pause. Err is a
// *WorkerDiedError, which may be wrapped in a *MemoryLimitError or a *HangError, a *StartError or a
// *RemoteError.
// Planned tells what happens every day from a fault: main killed the worker because a task of it
// went on past its Timeout or its cancellation, and their grace, or because the worker was to be
// replaced, or to end, and did not leave within Config.ShutdownTimeout.
type WorkerFailed struct {
	Worker  string
	PID     int
	Life    int
	Err     error
	Restart bool          // it will be replaced
	After   time.Duration // the pause before the replacement
	Planned bool          // main killed it on purpose, and it is no fault of its own
	At      time.Time
	late    bool       // Planned is set because the worker did not leave in time; does not change
	cause   DeathCause // why the life has failed, in a word; does not change
}

// EventsMissed says that who watches was too slow for some events, of whatever workers, that would
// have come before the next one. Main.Watch and Main.Events tell it, and Config.OnEvent gets it if
// the loop of main was too long at something else.
type EventsMissed struct {
	Count int // of the events
}

// DeadLetter says that a one-way message has not been handled, or that nobody can get a reply any
// more, and why.
type DeadLetter struct {
	Sender   string
	Receiver string
	Type     string
	Size     int // the size of the body in bytes
	Reason   string
	At       time.Time
	body     codec.Payload // the body, if main has it; does not change
	codec    *codec.Codec  // decodes body; nil if main does not have it; does not change
}

// deadLetter makes the event that says that a message was not handled by its receiver.
func deadLetter(l *outbox.Letter, to, reason string, c *codec.Codec) *DeadLetter {
	d := &DeadLetter{Sender: l.From, Receiver: to, Type: l.Type, Size: l.Size, Reason: reason}
	if l.Kept != nil {
		d.body, d.codec = link.Body(l.Kept.Frame).Own(), c
	}
	return d
}

// errNoBody says that the body of a dead letter is gone.
var errNoBody = errors.New("the body is gone with its receiver: main keeps it only if WorkerConfig.Redeliver is set")

// Decode decodes the body of the message into what v points to; see Message.Decode. Main has the
// body if it is the receiver itself, if the message was not yet handed to the worker, and, with
// WorkerConfig.Redeliver, in every case. Otherwise the body is gone with the worker, and Decode
// returns a *DecodeError that says so.
func (e *DeadLetter) Decode(v any) error {
	err := errNoBody
	if e.codec != nil {
		err = e.codec.Decode(e.body, v)
	}
	if err != nil {
		return &DecodeError{Receiver: MainName, Type: e.Type, Err: err}
	}
	return nil
}

// HandlerFailed says that the handler of a one-way message has returned an error.
type HandlerFailed struct {
	Sender   string
	Receiver string // the process of the handler
	Type     string
	Err      error
	At       time.Time
}

// ProgramEnding says that the end of the program has begun, and why: no new task is taken any more,
// and the workers are told to end. Main.Wait waits for the rest.
type ProgramEnding struct {
	Cause  error // see Main.Cause
	Failed bool  // an error has ended the program, and nobody has asked for it
	At     time.Time
}

// ofLife returns what the records of all events of a life of a worker have first.
func ofLife(worker string, pid, life int, more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{slog.String("worker", worker), slog.Int("pid", pid), slog.Int("life", life)}, more...)
}

func (e *WorkerStarted) record() (slog.Level, string, []slog.Attr) {
	return slog.LevelDebug, "worker started", ofLife(e.Worker, e.PID, e.Life)
}

func (e *WorkerReady) record() (slog.Level, string, []slog.Attr) {
	return slog.LevelDebug, "worker ready", ofLife(e.Worker, e.PID, e.Life, slog.Duration("took", e.Took))
}

func (e *WorkerStopped) record() (slog.Level, string, []slog.Attr) {
	return slog.LevelDebug, "worker stopped", ofLife(e.Worker, e.PID, e.Life)
}

func (e *WorkerFailed) record() (slog.Level, string, []slog.Attr) {
	level, text := slog.LevelError, "worker failed"
	switch hang, hung := errors.AsType[*HangError](e.Err); {
	case e.Planned && e.late:
		level, text = slog.LevelWarn, "worker killed, for it did not leave in time"
	case e.Planned:
		level, text = slog.LevelInfo, "worker killed with its task"
	case hung && !hang.Silent: // a time limit that the user has set has passed
		level = slog.LevelWarn
	}
	attrs := ofLife(e.Worker, e.PID, e.Life,
		slog.String("error", brief(e.Err)), slog.Bool("restart", e.Restart), slog.Duration("after", e.After))
	if died, ok := errors.AsType[*WorkerDiedError](e.Err); ok && died != nil {
		if stack := life.FirstStack(died.Stderr, ".(*Worker).dump("); stack != "" {
			attrs = append(attrs, slog.String("stack", stack))
		}
	}
	return level, text, attrs
}

func (e *EventsMissed) record() (slog.Level, string, []slog.Attr) {
	return slog.LevelWarn, "events missed", []slog.Attr{slog.Int("count", e.Count)}
}

func (e *DeadLetter) record() (slog.Level, string, []slog.Attr) {
	level := slog.LevelWarn
	if strings.Contains(e.Reason, ErrStopped.Error()) {
		level = slog.LevelDebug // an exit does this to queued messages
	}
	return level, "message not delivered", []slog.Attr{
		slog.String("sender", e.Sender),
		slog.String("receiver", e.Receiver),
		slog.String("type", e.Type),
		slog.Int("size", e.Size),
		slog.String("reason", strings.ReplaceAll(e.Reason, "multiprolab: ", "")),
	}
}

func (e *HandlerFailed) record() (slog.Level, string, []slog.Attr) {
	return slog.LevelError, "handler failed", []slog.Attr{
		slog.String("sender", e.Sender),
		slog.String("receiver", e.Receiver),
		slog.String("type", e.Type),
		slog.String("error", fmt.Sprint(e.Err)),
	}
}

func (e *ProgramEnding) record() (slog.Level, string, []slog.Attr) {
	level := slog.LevelDebug
	if e.Failed {
		level = slog.LevelError
	}
	return level, "the program ends", []slog.Attr{slog.String("cause", brief(e.Cause))}
}
