package multiprolab

import (
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/logbook"
)

// This file is the start of a worker's life as main sees it: welcome, hello and ready, each within
// its time. It runs on the goroutine of the life; see lifetime.

// welcome sends the worker what it needs to know.
func (p *peer) welcome(m *Main) {
	cfg := &p.slot().pool.cfg
	p.process.Welcome(life.Welcome{
		Identity:       m.identity,
		Pools:          m.poolSizes(),
		MaxBody:        m.cfg.MaxMessageSize,
		Window:         m.cfg.Window,
		Credit:         p.client.openAccount(),
		MemoryLimit:    cfg.Limits.Memory,
		MaxRSS:         cfg.MaxRSS,
		Teardown:       m.cfg.TeardownTimeout,
		Limits:         cfg.limits(m.procs),
		HandlerTimeout: cfg.HandlerTimeout,
		Redelivers:     cfg.Redeliver > 0,
		Log:            life.Log{Mode: int(m.cfg.WorkerLogs), Level: m.logs.Level(p.log), Window: logbook.Window},
	})
}

// handshake waits until the worker has said hello. It returns an error if the worker runs another
// binary, ends, or is late.
func (p *peer) handshake(ctx context.Context, m *Main) error {
	switch p.process.Hello(ctx, m.cfg.StartTimeout) {
	case life.Came:
		return nil
	case life.CameForeign:
		return &StartError{
			Worker:    p.slot().name,
			PID:       p.pid(),
			Reason:    replaced + ": its workers would be of another build. Restart the program",
			permanent: true,
		}
	case life.Ended:
		return p.startError(
			"its process ended before it reached Run: it must get from main() to Run of the same Main, by the same "+
				"path as the main process; or call Main.Hook before what one process alone can do",
			p.end(m),
		)
	case life.Late:
		p.kill(fmt.Sprintf("it did not reach Run within Config.StartTimeout (%v)", m.cfg.StartTimeout))
		return p.startError(fmt.Sprintf("it did not reach Run within %v: something before Run blocks, "+
			"and should come after Main.Hook, or Config.StartTimeout is too short", m.cfg.StartTimeout), p.end(m))
	}
	return context.Cause(ctx)
}

// becomeReady waits until the worker's setup function has returned.
func (p *peer) becomeReady(ctx context.Context, m *Main) error {
	switch failure, how := p.process.Ready(ctx, m.cfg.SetupTimeout); {
	case how == life.Came && failure == "":
		return nil
	case how == life.Came:
		err := p.vouchError("", unmarshalError([]byte(failure)))
		return p.startError("its setup function returned an error", err)
	case how == life.Ended:
		return p.startError("its process ended in its setup function", p.end(m))
	case how == life.Late:
		p.kill(fmt.Sprintf("its setup function did not return within Config.SetupTimeout (%v)", m.cfg.SetupTimeout))
		return p.startError(
			fmt.Sprintf("its setup function did not return within %v (Config.SetupTimeout)", m.cfg.SetupTimeout),
			p.end(m),
		)
	}
	return context.Cause(ctx)
}

// startError returns the error of a worker that was started and did not become ready.
func (p *peer) startError(reason string, err error) error {
	return &StartError{Worker: p.slot().name, PID: p.pid(), Reason: reason, Err: err}
}

// place implements fleetHost: it makes a spare the next life of an instance, which gets what waits
// for that. If it has ended by now it is that life all the same, and the rules are told of its end
// as the end of that.
func (m *Main) place(p *peer, from, s *slot, life int) {
	defer close(p.placed)
	from.finishLife(p)
	lent := !p.spare()
	p.at.Store(&seat{s, life, s.out})
	if !p.standing.CompareAndSwap(standsBy, sitsDown) {
		return
	}
	if !lent {
		m.seat(p, from)
	}
	s.beginLife(p)
	s.out.AttachWhole(p.link)
	p.link.Push()
	m.emit(&WorkerReady{Worker: s.name, PID: p.pid(), Life: life, Took: p.took, Spare: from.name})
}
