package life

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAttend: a worker that is ready is attended to until it ends, is told to end, or hangs, however
// often it comes to hold nothing.
func TestAttend(t *testing.T) {
	const timeout = 3 * time.Second
	hang := &Hang{Limit: time.Second}
	for what, c := range map[string]struct {
		happens func(p *played, tell func())
		want    *Hang
	}{
		"its wire ends":              {func(p *played, _ func()) { _ = p.in.Close() }, nil},
		"it ends":                    {func(p *played, _ func()) { p.end() }, nil},
		"it is told to end":          {func(_ *played, tell func()) { tell() }, nil},
		"a handler does not return":  {func(p *played, _ func()) { p.hangs <- hang }, hang},
		"it gives no sign of life":   {func(*played, func()) {}, &Hang{Limit: timeout, Silent: true}},
		"it gives some, and none on": {func(p *played, _ func()) { p.signs.beat.Store(&Beat{number: 1}) }, &Hang{Beat: Beat{number: 1}, Limit: timeout, Silent: true}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(Options{})
				p.Converse("", func([]byte) {}, p.handle)
				told, retired := make(chan struct{}), make(chan struct{}, 1)
				pulse := p.NewPulse(timeout)
				defer pulse.Stop()
				idle := 0
				var got *Hang
				over := make(chan struct{})
				go func() {
					defer close(over)
					got = p.Attend(pulse, told, retired, func() { idle++ })
				}()
				for range 2 {
					retired <- struct{}{}
					synctest.Wait()
				}
				select {
				case <-over:
					t.Error("it is left before anything has happened")
				default:
				}
				c.happens(p, func() { close(told) })
				<-over
				require.Equal(t, c.want, got)
				require.Equal(t, 2, idle)
				_ = p.in.CloseWithError(io.EOF)
				p.link.Close()
				<-p.read
				<-p.wrote
			})
		})
	}
}

// TestLeadOut: a worker that was told to end has its time, then SIGTERM, then its time again; who is
// in a hurry cuts that short.
func TestLeadOut(t *testing.T) {
	const exit, term = 10 * time.Second, 3 * time.Second
	for what, c := range map[string]struct {
		ends, hurry time.Duration // after which time it ends, and somebody is in a hurry; 0 for never
		want        Parting
		asked       string
		took        time.Duration
	}{
		"it ends":                          {exit - 1, 0, Willing, "", exit - 1},
		"it ends of SIGTERM":               {exit + 1, 0, Terminated, "terminate", exit + 1},
		"it does not end":                  {0, 0, Stubborn, "terminate", exit + term},
		"a hurry before SIGTERM":           {0, 1, Hurried, "", 1},
		"a hurry after SIGTERM":            {0, exit + 1, Hurried, "terminate", exit + 1},
		"a hurry when it has ended":        {1, 2, Willing, "", 1},
		"a hurry that nobody waits for":    {exit + 1, exit + 2, Terminated, "terminate", exit + 1},
		"a hurry that is older than it is": {0, -1, Hurried, "", 0},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(Options{})
				hurry := make(chan struct{})
				after := func(d time.Duration, do func()) {
					switch {
					case d < 0:
						do()
					case d > 0:
						time.AfterFunc(d, do)
					}
				}
				after(c.ends, p.end)
				after(c.hurry, func() { close(hurry) })
				begun := time.Now()
				require.Equal(t, c.want, p.LeadOut(exit, term, hurry))
				require.Equal(t, c.took, time.Since(begun))
				require.Equal(t, c.asked, p.body.asked())
				_ = p.in.Close()
			})
		})
	}
}
