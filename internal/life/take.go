package life

import (
	"fmt"
	"strings"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/wire"
)

const (
	// MaxStacks is how much of the stacks of its goroutines a worker tells, in bytes.
	MaxStacks = 64 << 10
	// maxRunning is how much is kept of what a worker says that it runs, in bytes.
	maxRunning = 400
)

// lie says that the worker has sent what no honest one sends at this time. It costs the worker its
// life.
func lie(format string, args ...any) error {
	return &link.Violation{Reason: fmt.Sprintf(format, args...)}
}

// Take takes a frame of the worker, if it is about the life, and reports whether it is. It finds
// out for every frame whether it comes in its turn. The worker is not trusted: an error ends it.
// Take never waits; the reader alone calls it.
func (l *Life) Take(f *wire.Frame) (mine bool, err error) {
	state := l.reading.state
	switch {
	case state == stateNew && f.Kind != wire.Hello, state != stateNew && f.Kind == wire.Hello,
		state == stateBye, state == stateForeign, f.Kind == wire.Ready && state != stateHello:
		return true, lie("a %v frame came out of turn", f.Kind)
	}
	switch f.Kind {
	case wire.Hello:
		return true, l.takeHello(f)
	case wire.Ready:
		return true, l.takeReady(f)
	case wire.Bye:
		return true, l.takeBye(f)
	case wire.Beat:
		return true, l.takeBeat(f)
	case wire.Stacks:
		return true, l.takeStacks(f)
	case wire.Overdue:
		return true, l.takeOverdue(f)
	case wire.ExitValue:
		return true, l.takeExitValue(f)
	case wire.Inspect:
		return true, l.takeInspect(f)
	}
	return false, nil
}

// Packed makes a frame whose body is v. Main and a worker use such frames at the start and the end
// of the worker.
func Packed(kind wire.Kind, v pack.Packed) *wire.Frame {
	return &wire.Frame{Kind: kind, Body: pack.Marshal(v)}
}

// Unpack reads what Packed wrote. The error ends the life of who has written it.
func Unpack(f *wire.Frame, v pack.Packed) error {
	if err := pack.Unmarshal(f.Body, v); err != nil {
		return lie("the body of a %v frame cannot be read: %v", f.Kind, err)
	}
	return nil
}

// unasked is the error of a frame that costs the worker nothing, because each is allowed by
// something before, once.
func unasked(f *wire.Frame) error { return lie("a frame came that nothing had allowed: %v", f.Kind) }

func (l *Life) takeHello(f *wire.Frame) error {
	var h Hello
	if err := Unpack(f, &h); err != nil {
		return err
	}
	if l.reading.state = stateHello; h.Identity != l.options.Identity {
		l.reading.state = stateForeign // Hello finds out the same
	}
	l.hello <- &h // there is room: a second hello is out of turn
	return nil
}

func (l *Life) takeReady(f *wire.Frame) error {
	var r Readiness
	if err := Unpack(f, &r); err != nil {
		return err
	}
	l.reading.state = stateReady
	if r.Failure == "" {
		if err := l.options.Ready(&r); err != nil {
			return err
		}
	}
	l.ready <- &r // there is room: a second one is out of turn
	return nil
}

func (l *Life) takeBye(f *wire.Frame) error {
	var bye Farewell
	if err := Unpack(f, &bye); err != nil {
		return err
	}
	l.reading.state = stateBye
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	l.known.bye, l.known.failure, l.known.lost = true, bye.Failure, bye.Lost
	return nil
}

func (l *Life) takeBeat(f *wire.Frame) error {
	number, since := f.Beat()
	if number <= l.reading.answered || number > l.signs.asked.Load() {
		return unasked(f)
	}
	l.reading.answered = number
	l.signs.beat.Store(&Beat{Running: running(f), Since: since, number: number})
	return nil
}

func (l *Life) takeStacks(f *wire.Frame) error {
	if l.signs.wanted.Add(-1) < 0 {
		return unasked(f)
	}
	l.known.mu.Lock()
	l.known.stacks = string(f.Body[:min(len(f.Body), MaxStacks)])
	l.known.mu.Unlock()
	goroutine.Wake(l.dumps)
	return nil
}

func (l *Life) takeOverdue(f *wire.Frame) error {
	limit := l.options.HandlerTimeout
	if limit == 0 {
		return lie("it reports a handler that runs too long, and there is no WorkerConfig.HandlerTimeout")
	}
	select {
	case l.hangs <- &Hang{Beat: Beat{Running: running(f), Since: f.Overdue()}, Limit: limit}:
	default: // one is enough
	}
	return nil
}

func (l *Life) takeExitValue(f *wire.Frame) error {
	if l.reading.valued {
		return unasked(f)
	}
	l.reading.valued = true
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	l.known.value = f
	return nil
}

// running is what a worker says that it runs.
func running(f *wire.Frame) string { return strings.Clone(f.Meta[:min(len(f.Meta), maxRunning)]) }
