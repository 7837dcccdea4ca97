package multiprolab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is a worker's uplink: how its messages, calls and tasks go to main. The methods
// implement uplink, whose comments say what each is for.

// workerUplink is the uplink of a worker: everything goes over the wire to main, which routes it.
// Any goroutine may use it.
type workerUplink Worker

func (u *workerUplink) receivers() []string {
	u.knownMu.Lock()
	defer u.knownMu.Unlock()
	names := []string{MainName}
	for _, pool := range poolNames(u.pools) {
		for i := range u.pools[pool] {
			names = append(names, instanceName(pool, i))
		}
	}
	return names
}

func (u *workerUplink) send(ctx context.Context, f *wire.Frame) error {
	if err := u.reachable(f.To, f.Flags&wire.FlagBroadcast != 0); err != nil {
		return err
	}
	if err := u.out.Send(ctx, f, nil, nil, link.Soon); err != nil {
		return fmt.Errorf("multiprolab: message %q to %s: %w", f.Type, cmp.Or(shownName(f.To), "all workers"), err)
	}
	return nil
}

func (u *workerUplink) call(ctx context.Context, f *wire.Frame) (*replyWay, error) {
	if err := u.reachable(f.To, false); err != nil {
		return nil, err
	}
	if err := u.out.Send(ctx, f, nil, anyScopeOf(ctx), link.Quietly); err != nil {
		return nil, fmt.Errorf("multiprolab: call %q to %s: %w", f.Type, shownName(f.To), err)
	}
	u.link.Push()
	return &replyWay{link: u.link, others: u.waits}, nil
}

// reachable returns an error if there is no receiver of that name. It is asked before the message
// leaves, because then the sender can still be told.
func (u *workerUplink) reachable(name string, broadcast bool) error {
	if u.link == nil {
		return ErrNotWorker
	}
	pool, i, ok := splitInstance(name)
	keyed, bucket := splitKeyed(name)
	u.knownMu.Lock()
	defer u.knownMu.Unlock()
	switch {
	case broadcast && name == MainName:
	case slices.Contains(u.known, name), broadcast && name == "", !broadcast && ok && i < u.pools[pool],
		!broadcast && bucket > 0 && u.pools[keyed] > 0:
		return nil
	}
	return &UnknownReceiverError{Receiver: name, Known: u.known}
}

func (u *workerUplink) cancelCall(id uint64, _ *replyWay, soft bool) {
	u.link.Tell(link.Soon, &wire.Frame{Kind: wire.Cancel, Flags: wire.Softly(soft), Type: "call", ID: id})
}

func (u *workerUplink) submit(ctx context.Context, s *submission, f *wire.Frame) error {
	if u.link == nil {
		return ErrNotWorker
	}
	if err := u.out.Send(ctx, f, nil, anyScopeOf(ctx), link.Soon); err != nil {
		return fmt.Errorf("multiprolab: task %q was not submitted: %w", f.Type, err)
	}
	if f.Flags&wire.FlagWait != 0 {
		return nil
	}
	select { // the queue answers at once if the submission does not wait for room
	case <-s.accepted:
		return nil
	case <-s.done:
		if errors.Is(s.outcome.err, ErrQueueFull) {
			return s.outcome.err
		}
		return nil
	case <-ctx.Done():
		u.cancelTask(s.id, contexts.Expired(ctx))
		return fmt.Errorf("multiprolab: task %q: %w", f.Type, contexts.CauseOf(ctx))
	}
}

// batches returns 0: only main is told what becomes of the items of a batch.
func (u *workerUplink) batches(string, *TaskOptions) int { return 0 }

func (u *workerUplink) cancelTask(id uint64, soft bool) {
	if s := u.submission(id, false); s != nil && !s.cancelled.Swap(true) { // main allows only one Cancel
		u.link.Tell(link.Soon, &wire.Frame{Kind: wire.Cancel, Flags: wire.Softly(soft), Type: "task", ID: id})
	}
}

func (u *workerUplink) awaits(s *submission, spell uint64) error {
	u.link.Tell(link.Soon, wire.NewAwait(s.id, spell))
	return nil // main answers with a refusal if the loop must not wait
}

func (u *workerUplink) awaitsNoMore(id uint64) {
	u.link.Tell(link.Soon, &wire.Frame{Kind: wire.Await, Flags: wire.FlagSoft, ID: id})
}

// waitsForNothing tells main with the id 0 that the loop waits for nothing.
func (u *workerUplink) waitsForNothing() { u.out.InOrder(func() { u.awaitsNoMore(0) }) }

func (u *workerUplink) undelivered(m *Message, reason error) {
	m.told = true
	text := reason.Error()
	u.link.Tell(link.Soon, wire.NewUndelivered(m.serial, text[:min(len(text), maxReason)]))
}

func (u *workerUplink) failed(m *Message, err error) {
	m.told = true
	u.link.Tell(link.Soon, wire.NewFailed(m.serial, marshalError(err)))
}

func (u *workerUplink) idle() {
	u.receipts.Flush()
	u.link.Push()
}

// wait reads the wire itself if nobody else does, so that frames need not be handed over.
func (u *workerUplink) wait(ctx context.Context, d time.Duration) {
	wake := u.receiver.wake
	if !u.link.Serve(ctx, d, func() bool { return len(wake) > 0 }) {
		u.waiting.Store(true)
		goroutine.Await(ctx, wake, d)
		u.waiting.Store(false)
		return
	}
	select {
	case <-wake:
	default:
	}
}
