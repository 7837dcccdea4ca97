//go:build darwin || dragonfly || freebsd || linux || openbsd

package sdnotify_test

import (
	"errors"
	"io/fs"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/multiprolab/multiprolab/internal/sdnotify"
)

// life is a program of which a test says how it comes on.
type life struct {
	ready, exit, ending chan struct{}
	turns               chan func()
	failed              chan error
}

// serve returns a program, and what tells of it.
func serve(n *sdnotify.Notifier) (*life, *sdnotify.Service) {
	l := &life{
		ready: make(chan struct{}), exit: make(chan struct{}), ending: make(chan struct{}),
		turns: make(chan func(), 100), failed: make(chan error, 100),
	}
	return l, n.For(sdnotify.Program{
		Ready: l.ready, Exit: l.exit, Ending: l.ending,
		Turn:   func(fn func()) { l.turns <- fn },
		Failed: func(err error) { l.failed <- err },
	})
}

// TestServiceIsToldHowTheProgramComesOn: that it is ready, and that it ends if it does not go on as
// its next version; and after the end it is never ready again.
func TestServiceIsToldHowTheProgramComesOn(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(l *life, s *sdnotify.Service)
		want    string
	}{
		"the end": {func(l *life, s *sdnotify.Service) {
			close(l.ending)
			s.Ready()
			close(l.exit)
		}, "STOPPING=1"},
		"the end, and the stop": {func(l *life, _ *sdnotify.Service) { close(l.exit) }, "STOPPING=1"},
		"a reload":              {func(_ *life, s *sdnotify.Service) { s.Ready() }, "READY=1"},
		"no watchdog":           {func(_ *life, s *sdnotify.Service) { s.Watchdog() }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			socket := socketPath(t)
			manager := listen(t, socket)
			l, s := serve(notifier(t, socket))
			stop := s.Follow()
			close(l.ready)
			expect(t, manager, "READY=1")
			<-s.ReadyTold()
			c.happens(l, s)
			stop()
			if c.want != "" {
				expect(t, manager, c.want)
			}
			expectNothing(t, socket, manager)
		})
	}
}

// TestWatchdogIsToldThatTheLoopTurns: it hears of the program once for each turn of its loop, and
// nothing while the loop is at something else.
func TestWatchdogIsToldThatTheLoopTurns(t *testing.T) {
	socket, usec := socketPath(t), "2000"
	manager := listen(t, socket)
	setenv(t, &socket, &usec, nil)
	l, s := serve(sdnotify.FromEnv())
	stop := s.Follow()
	turn := <-l.turns
	select { // many ticks, while the loop does not turn
	case <-l.turns:
		t.Error("a loop that does not turn is asked twice")
	case <-time.After(20 * time.Millisecond):
	}
	turn()
	expect(t, manager, "WATCHDOG=1")
	<-l.turns
	stop()
	expectNothing(t, socket, manager)
}

// TestProgramIsToldWhatTheServiceManagerWasNot: an error comes to the program, and nothing fails
// without a service manager.
func TestProgramIsToldWhatTheServiceManagerWasNot(t *testing.T) {
	l, s := serve(notifier(t, socketPath(t)))
	s.Reloading()
	if err := <-l.failed; !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	_, s = serve(nil)
	s.Follow()()
	s.Ready()
	s.Reloading()
	s.Watchdog()
	if s != nil || s.Environ() != nil {
		t.Error("a service without a manager")
	}
}

// expect fails the test if the service manager has not been told this next.
func expect(t *testing.T, manager *net.UnixConn, want string) {
	t.Helper()
	if got := receive(t, manager); got != want {
		t.Errorf("the service manager was told %q, and not %q", got, want)
	}
}

// expectNothing fails the test if the service manager has been told anything more.
func expectNothing(t *testing.T, socket string, manager *net.UnixConn) {
	t.Helper()
	if err := notifier(t, socket).Reloading(); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, manager); !strings.HasPrefix(got, "RELOADING=1") {
		t.Errorf("the service manager was told %q", got)
	}
}
