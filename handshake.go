package multiprolab

import (
	"context"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the start of a worker's life as main sees it: welcome, hello, ready, each within its
// time. The supervisor runs it.

// welcome tells the worker what it needs to know.
func (p *peer) welcome() {
	m, cfg := p.slot.main, &p.slot.pool.cfg
	p.link.Tell(
		link.Quietly,
		packedFrame(
			wire.Welcome,
			&welcome{
				Identity:       m.identity,
				Pools:          m.poolSizes(),
				MaxBody:        m.cfg.MaxMessageSize,
				Window:         m.cfg.Window,
				Credit:         p.slot.account.open(p.client),
				MemoryLimit:    cfg.MemoryLimit,
				MaxRSS:         cfg.MaxRSS,
				Teardown:       m.cfg.TeardownTimeout,
				Limits:         cfg.limits(m.procs),
				HandlerTimeout: cfg.HandlerTimeout,
				Shares:         p.link.Shares(),
			},
		),
	)
	p.link.Push()
}

// handshake waits until the worker has said hello.
func (p *peer) handshake(ctx context.Context) error {
	m := p.slot.main
	timer := time.NewTimer(m.cfg.StartTimeout)
	defer timer.Stop()
	select {
	case h := <-p.hello:
		return p.identify(h)
	case <-p.read:
		select {
		case h := <-p.hello: // both came at once
			return p.identify(h)
		default:
		}
		return p.startError(
			"its process ended before it reached Run: it must get from main() to Run of the same Main, by the same "+
				"path as the main process",
			p.end(m),
		)
	case <-timer.C:
		p.kill(fmt.Sprintf("it did not reach Run within Config.StartTimeout (%v)", m.cfg.StartTimeout))
		return p.startError(fmt.Sprintf("it did not reach Run within %v: something before Run blocks, "+
			"or Config.StartTimeout is too short", m.cfg.StartTimeout), p.end(m))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// identify refuses a worker of another binary. The worker has found the same, and goes no further.
func (p *peer) identify(h *hello) error {
	if h.Identity != p.slot.main.identity {
		return &StartError{
			Worker:    p.slot.name,
			PID:       p.pid(),
			Reason:    replaced + ": its workers would be of another build. Restart the program",
			permanent: true,
		}
	}
	if h.Shares {
		p.link.StartSharing()
	}
	return nil
}

// becomeReady waits until the worker's setup function has returned.
func (p *peer) becomeReady(ctx context.Context) error {
	m := p.slot.main
	timer := time.NewTimer(m.cfg.SetupTimeout)
	defer timer.Stop()
	select {
	case r := <-p.ready:
		if r.Error != nil {
			return p.startError("its setup function returned an error", p.vouchError("", r.Error))
		}
		return nil
	case <-p.read:
		select {
		case r := <-p.ready: // both came at once
			if r.Error != nil {
				return p.startError("its setup function returned an error", p.vouchError("", r.Error))
			}
			return nil
		default:
		}
		return p.startError("its process ended in its setup function", p.end(m))
	case <-timer.C:
		p.kill(fmt.Sprintf("its setup function did not return within Config.SetupTimeout (%v)", m.cfg.SetupTimeout))
		return p.startError(
			fmt.Sprintf("its setup function did not return within %v (Config.SetupTimeout)", m.cfg.SetupTimeout),
			p.end(m),
		)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *peer) startError(reason string, err error) error {
	return &StartError{Worker: p.slot.name, PID: p.pid(), Reason: reason, Err: err}
}
