//go:build unix

package signals_test

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/signals"
)

// limit bounds every wait. It is generous, because nothing waits for it unless a test fails.
const limit = 20 * time.Second

// program is a program that notes what it was asked for. What it is asked for takes as long as its
// contexts live.
type program chan string

func (p program) handled(newVersion os.Signal) *signals.Program {
	asked := func(what string) func(context.Context) {
		return func(ctx context.Context) { p <- what; <-ctx.Done() }
	}
	return &signals.Program{
		NewVersion: newVersion,
		End: func(ctx context.Context, sig os.Signal, again bool) {
			if again {
				asked("end again: " + sig.String())(ctx)
				return
			}
			p <- "end: " + sig.String()
		},
		Reload:  asked("reload"),
		Upgrade: asked("upgrade"),
	}
}

// expect fails the test if a signal of this process does not have the program asked for this next.
func (p program) expect(t *testing.T, sig syscall.Signal, want string) {
	t.Helper()
	require.NoError(t, syscall.Kill(os.Getpid(), sig))
	select {
	case got := <-p:
		require.Equal(t, want, got)
	case <-time.After(limit):
		t.Fatalf("%v does not ask for %q", sig, want)
	}
}

// TestSignalsAskInTheirOrder: what takes long, such as an upgrade, does not hold up what another
// signal asks for; the second end is another one; and the signals are left alone after stop.
func TestSignalsAskInTheirOrder(t *testing.T) {
	spare := make(chan os.Signal, 10) // so that no signal ends this process
	signal.Notify(spare, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	defer signal.Stop(spare)
	var s signals.Signals
	p := make(program, 10)
	stop := s.Handle(p.handled(syscall.SIGUSR1))
	p.expect(t, syscall.SIGUSR1, "upgrade")
	p.expect(t, syscall.SIGTERM, "end: terminated")
	p.expect(t, syscall.SIGINT, "end again: interrupt")
	for range 3 {
		<-spare
	}
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	<-spare
	stop()
	require.Empty(t, p, "the third signal asks for nothing")
}

// TestSignalsAreReleased: what has come before is asked of the program, what comes later is left to
// others, and whether a new version was asked for meanwhile is known.
func TestSignalsAreReleased(t *testing.T) {
	spare := make(chan os.Signal, 10)
	signal.Notify(spare, syscall.SIGTERM)
	defer signal.Stop(spare)
	var s signals.Signals
	s.Release()
	require.False(t, s.Again(), "nothing is handled")
	p := make(program, 10)
	begun, goOn := make(chan struct{}), make(chan struct{})
	handled := p.handled(syscall.SIGUSR1)
	handled.Upgrade = func(context.Context) {
		begun <- struct{}{}
		<-goOn
	}
	stop := s.Handle(handled)
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	<-begun
	require.False(t, s.Again())
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	require.Eventually(t, s.Again, time.Minute, time.Millisecond)
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	<-spare
	s.Release()
	require.Equal(t, "end: terminated", <-p)
	require.True(t, signal.Ignored(syscall.SIGUSR1))
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	<-spare
	s.Release()
	require.Empty(t, p)
	require.True(t, s.Again())
	close(goOn)
	<-begun
	stop()
	s.Release()
	signal.Reset(syscall.SIGUSR1)
}

// TestSignalsAreCaughtEarly: a signal that is caught early does not end the process, and neither
// does it ask for anything.
func TestSignalsAreCaughtEarly(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	var s signals.Signals
	s.CatchEarly(nil, false, true)
	require.True(t, signal.Ignored(syscall.SIGHUP), "nothing was to be caught")
	s.CatchEarly(syscall.SIGUSR1, true, false)
	require.False(t, signal.Ignored(syscall.SIGHUP))
	seen := make(chan os.Signal, 10)
	signal.Notify(seen, syscall.SIGUSR1, syscall.SIGHUP)
	defer signal.Stop(seen)
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
		require.NoError(t, syscall.Kill(os.Getpid(), sig))
		require.Equal(t, os.Signal(sig), <-seen)
	}
	p := make(program, 10)
	stop := s.Handle(p.handled(syscall.SIGUSR1))
	p.expect(t, syscall.SIGTERM, "end: terminated")
	stop()
}
