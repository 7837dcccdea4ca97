package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/logbook"
	"github.com/multiprolab/multiprolab/internal/watchers"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// announcer tells of events: it tells the log, those who watch the workers, and the user's
// function. It exists in main. Its fields do not change after New, and any goroutine may use it.
type announcer struct {
	// config is the configuration, with the defaults filled in.
	config *Config
	// inbox is the receiver of main, whose loop calls the user's function.
	inbox *MessageReceiver
	// ends is closed when the program was asked to end.
	ends <-chan struct{}
	// logs is where the workers' logs go. It has a lock of its own.
	logs *logbook.Book
	// watchers is who watches the workers. It has a lock of its own.
	watchers *watchers.Watchers[Event]
	// history is what is remembered of what is over. It has a lock of its own.
	history history
}

// emit logs an event, and hands it to the user's function on the loop of main.
func (a *announcer) emit(e Event) {
	stamp(e)
	level, text, attrs := e.record()
	level = a.levelNow(e, level)
	a.log(level, text, attrs...)
	a.tell(e, attrs)
}

// log logs what main itself has to say, behind what waits for the handler of the log.
func (a *announcer) log(level slog.Level, text string, attrs ...slog.Attr) {
	var caller [1]uintptr
	runtime.Callers(2, caller[:])
	r := slog.NewRecord(time.Now(), level, "multiprolab: "+text, caller[0])
	r.AddAttrs(attrs...)
	a.logs.Log(r)
}

// stamp notes when an event has happened.
func stamp(e Event) {
	now := time.Now()
	switch e := e.(type) {
	case *WorkerStarted:
		e.At = now
	case *WorkerReady:
		e.At = now
	case *WorkerStopped:
		e.At = now
	case *WorkerFailed:
		e.At = now
	case *DeadLetter:
		e.At = now
	case *HandlerFailed:
		e.At = now
	case *ProgramEnding:
		e.At = now
	}
}

// levelNow returns the level of an event for the log. Some events have another level in a program
// that ends than in a program that goes on.
func (a *announcer) levelNow(e Event, level slog.Level) slog.Level {
	ending := goroutine.Closed(a.ends)
	switch e := e.(type) {
	case *DeadLetter:
		if level == slog.LevelDebug && !ending {
			return slog.LevelWarn // the program goes on: only the receiver has ended
		}
	case *HandlerFailed:
		if ending && (errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, ErrStopped) || errors.Is(e.Err, ErrExit)) {
			return slog.LevelDebug // the handler has returned because its context had ended
		}
	}
	return level
}

// firstLetters is how many of the dead letters of one death the record in the log names.
const firstLetters = 3

// emitLost is emit for the messages that one death has lost: the log gets one record of all of
// them, and everybody else an event for each.
func (a *announcer) emitLost(lost []*DeadLetter) {
	if len(lost) == 1 {
		a.emit(lost[0])
	}
	if len(lost) < 2 {
		return
	}
	var first []string
	size := 0
	for i, e := range lost {
		if i < firstLetters {
			first = append(first, fmt.Sprintf("%q from %s (%d bytes)", e.Type, e.Sender, e.Size))
		}
		size += e.Size
	}
	e := lost[0]
	level, _, _ := e.record()
	level = a.levelNow(e, level)
	a.log(level, "messages not delivered", slog.String("receiver", e.Receiver), slog.Int("count", len(lost)),
		slog.String("first", strings.Join(first, ", ")), slog.Int("size", size),
		slog.String("reason", strings.ReplaceAll(e.Reason, "multiprolab: ", "")))
	for _, e := range lost {
		stamp(e)
		_, _, attrs := e.record()
		a.tell(e, attrs)
	}
}

// tell hands an event to those who watch and, on the loop of main, to the user's function.
func (a *announcer) tell(e Event, attrs []slog.Attr) {
	a.watchers.Tell(watched(e))
	a.history.note(e)
	if a.config.OnEvent != nil {
		size := wire.FrameCost
		for _, attr := range attrs {
			size += len(attr.Value.String())
		}
		if letter, ok := e.(*DeadLetter); ok {
			size += len(letter.body.Data)
		}
		a.inbox.soon(func() { a.deliver(e) }, size)
	}
}

// watched returns an event as Watch and Events tell it, and what it says of the state of a worker:
// whether that is up or down.
func watched(e Event) (Event, watchers.State) {
	switch e := e.(type) {
	case *WorkerReady:
		return e, watchers.State{Name: e.Worker, Was: e.Spare} // a spare is another worker from now on
	case *WorkerStopped:
		return e, watchers.State{Name: e.Worker}
	case *WorkerFailed:
		return e, watchers.State{Name: e.Worker}
	case *DeadLetter:
		if e.codec != nil { // the bodies of what waits for a watcher would have no bound
			light := *e
			light.body, light.codec = codec.Payload{}, nil
			return &light, watchers.State{}
		}
	}
	return e, watchers.State{}
}

// deliver hands an event to the user's function, and before it one of those that were dropped, if
// there are any. It runs on the loop of main.
func (a *announcer) deliver(e Event) {
	if n := a.inbox.missedUrgent(); n > 0 {
		missed := &EventsMissed{Count: n}
		level, text, attrs := missed.record()
		a.log(level, text, attrs...)
		a.config.OnEvent(missed)
	}
	a.config.OnEvent(e)
}
