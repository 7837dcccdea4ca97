package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// emit logs an event, and hands it to the user's function on the loop of main.
func (m *Main) emit(e Event) {
	level, text, attrs := e.record()
	m.cfg.Logger.LogAttrs(context.Background(), m.levelNow(e, level), "multiprolab: "+text, attrs...)
	m.tell(e, attrs)
}

// levelNow is the level of an event that has one in a program that ends, and another one in a
// program that goes on.
func (m *Main) levelNow(e Event, level slog.Level) slog.Level {
	ending := closed(m.exitAsked)
	switch e := e.(type) {
	case *DeadLetter:
		if level == slog.LevelDebug && !ending {
			return slog.LevelWarn // only its receiver has ended
		}
	case *HandlerFailed:
		if ending && (errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, ErrStopped) || errors.Is(e.Err, ErrExit)) {
			return slog.LevelDebug // it has heeded the end of its context
		}
	}
	return level
}

// firstLetters is how many of the dead letters of one death its record names.
const firstLetters = 3

// emitLost is emit for what one death has lost: one record for all, and an event for each.
func (m *Main) emitLost(lost []*DeadLetter) {
	if len(lost) == 1 {
		m.emit(lost[0])
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
	m.cfg.Logger.LogAttrs(
		context.Background(),
		m.levelNow(e, level),
		"multiprolab: messages not delivered",
		slog.String("receiver", e.Receiver),
		slog.Int("count", len(lost)),
		slog.String("first", strings.Join(first, ", ")),
		slog.Int("size", size),
		slog.String("reason", strings.ReplaceAll(e.Reason, "multiprolab: ", "")),
	)
	for _, e := range lost {
		_, _, attrs := e.record()
		m.tell(e, attrs)
	}
}

// tell hands an event to who watches, and to the user's function on the loop of main.
func (m *Main) tell(e Event, attrs []slog.Attr) {
	m.watchers.notify(e)
	if m.cfg.OnEvent != nil {
		size := frameCost
		for _, a := range attrs {
			size += len(a.Value.String())
		}
		m.receiver.soon(func() { m.cfg.OnEvent(e) }, size)
	}
}
