package multiprolab

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// guard runs a part of main's work in which user's functions are called, and then last. It ends the
// program with an error if one of them ends the goroutine with runtime.Goexit.
func (m *Main) guard(part, last func()) {
	defer m.own.enter(MainName)()
	finally(part, func(goexit bool) {
		if goexit {
			m.endByGoexit()
		}
		last()
	})
}

// endByGoexit ends the program because the goroutine that handles what comes to main ends.
func (m *Main) endByGoexit() {
	text := goexitText(m.doing() + " of main")
	m.cfg.Logger.Error(text, "stack", string(debug.Stack()))
	err := errors.New(text)
	m.fail(err)
	for s := m.current.Load(); s != nil; s = s.outer {
		if s.msg != nil && !s.over.Load() {
			m.receiver.refuse(s.msg, err)
		}
	}
	m.receiver.seal(err) // nobody handles it any more
}

// waitsForItself returns an error if the calling goroutine is one that the end of m waits for. call
// names the method that would wait there for that end.
func (m *Main) waitsForItself(call string) error {
	name := m.own.name()
	switch {
	case name == "":
		return nil
	case name != MainName:
		return fmt.Errorf(
			"multiprolab: %s waits until all workers have ended, and was called in %s, which would wait for itself: "+
				"use Worker.Exit or Main.Exit here, which do not wait",
			call,
			name,
		)
	}
	return fmt.Errorf(
		"multiprolab: %s waits until the loop of main has ended, and was called on that loop, in %s, which would "+
			"wait for itself: "+
			"use Exit here, which does not wait",
		call,
		m.doing(),
	)
}

// doing says what main runs on its loop at the moment.
func (m *Main) doing() string {
	if s := m.current.Load(); s != nil {
		return s.what()
	}
	return "Config.OnEvent"
}
