package multiprolab

import (
	"context"
	"errors"
	"runtime"
	"time"
	"weak"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what a worker does with the frames that main sends, and what it tells main on its
// own.

// receive handles a frame from main, and reports whether the loop waits for what comes and will
// read next. It runs on the goroutine that reads the wire, and so never waits.
func (w *Worker) receive(f *wire.Frame) (served bool, err error) {
	served = w.waiting.Load()
	return served, w.handleFrame(f)
}

// handleFrame handles a frame from main. An error says that main has sent a frame that makes no
// sense.
func (w *Worker) handleFrame(f *wire.Frame) error {
	switch f.Kind {
	case wire.Welcome:
		var wl life.Welcome
		if err := life.Unpack(f, &wl); err != nil {
			return err
		}
		w.adopt(&wl)
		w.welcome = &wl
	case wire.Pools:
		var pools life.Pools
		if err := life.Unpack(f, &pools); err != nil {
			return err
		}
		w.know(pools)
	case wire.Exit:
		mode := ShutdownMode(f.ExitMode())
		w.toldExit(f)
		w.loop.exit(mode) // before seal: an action that gets ErrStopped from TaskQueue.Get must find its context ended
		if mode == FinishRunning {
			w.inbox.seal()
		}
		w.cancel(ErrExit) // after seal: whoever sees this end sees no further task begin
	case wire.Credit:
		w.out.Granted(f.Credit())
	case wire.Message, wire.Call:
		header, err := meta.UnmarshalHeader(f.Header)
		if err != nil {
			return lie("%v", err)
		}
		m := &Message{
			Header:   header,
			Sender:   f.From,
			Receiver: w.name(),
			Type:     f.Type,
			payload:  link.Body(f),
			scope:    scope{stage: &w.stage},
			chain:    f.Meta,
			left:     w.left,
		}
		m.size.Store(f.Cost())
		if f.Kind == wire.Call {
			m.id, m.scope.Limit = f.ID, contexts.Within(f.Left)
			m.reply = func(r *reply) { w.link.Answer(link.Lazily, replyFrame(wire.Reply, m.id, r)) }
		} else {
			w.came++
			m.serial, m.Redelivered = w.came, outbox.WasMarked(f)
		}
		w.receiver.deliver(m)
	case wire.Reply:
		w.answer(f.ID, replyOf(f))
	case wire.Cancel:
		if f.Type == "call" {
			w.receiver.cancel(f.ID, f.From, nil, f.Flags&wire.FlagSoft != 0)
		} else {
			w.inbox.cancel(f.ID, f.Flags&wire.FlagSoft != 0)
		}
	case wire.Dump:
		w.dump()
	case wire.Place:
		index, life := f.Place()
		w.called.set(instanceName(w.pool, index)) // before what waits for the place goes on
		if !w.sitDown(index, life) {
			return lie("main gave worker %s another place", w.name())
		}
	case wire.Beat:
		number, _ := f.Beat()
		w.answerBeat(number)
	case wire.Recall:
		w.inbox.giveBack(f.ID)
	case wire.Checkpoint:
		p := link.Body(f)
		w.inbox.saved.Note(f.ID, &p)
	case wire.Task:
		return w.inbox.deliver(f)
	case wire.Share:
		return w.takeShared(f)
	case wire.Inspect:
		return w.inspected(f)
	case wire.LogRoom:
		w.logs.Give(f)
	case wire.NoTask:
		w.inbox.noTask(f.ID)
	case wire.Accepted:
		if s := w.submission(f.ID, false); s != nil {
			close(s.accepted)
		}
	case wire.Progress:
		if s := w.submission(f.ID, false); s != nil {
			m := &Message{
				Sender:   f.From,
				Receiver: w.name(),
				Type:     f.Type,
				payload:  link.Body(f),
				scope:    scope{stage: &w.stage},
				attempt:  meta.UnmarshalAttempt(f.Meta),
			}
			if s.streams {
				m.left = func(*Message, int64, bool) {
					w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Taken, ID: s.id})
				}
			}
			s.addProgress(m)
		}
	case wire.Result:
		r := replyOf(f)
		r.run = meta.UnmarshalAttempt(f.Meta)
		w.resolve(f.ID, r)
	case wire.Await:
		w.refused(f.ID, f.Spell(), w.recognise(unmarshalError(f.Body)))
	default:
		return lie("main sent a %v frame", f.Kind)
	}
	return nil
}

// stall notes that a sender begins to wait for room. If its loop waits with it, stall tells main,
// until the function of the loop has returned. It returns a channel for the error that says that
// the loop must not wait, or nil, and a function for the end of the wait.
func (w *Worker) stall(ctx context.Context) (refused <-chan error, over func()) {
	moves, loop := stall(ctx), scopeOf(ctx)
	if loop == nil {
		return nil, moves
	}
	id := w.nextID()
	refused, fed := w.starving.Begin(id, func() {
		w.out.InOrder(func() {
			if !loop.Over() {
				w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Await, Type: awaitRoom, ID: id})
			}
		})
	})
	return refused, func() {
		fed()
		w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Await, Type: awaitRoom, Flags: wire.FlagSoft, ID: id})
		moves()
	}
}

// refused ends a wait of the loop that would close a circle. The loop waits for a task or for room.
func (w *Worker) refused(id, spell uint64, err error) {
	if s := w.submission(id, false); s != nil {
		s.refuse(spell, err)
		return
	}
	w.starving.Refuse(id, err)
}

// answerBeat answers main's question for a sign of life, which has a number. It runs on the
// goroutine that reads the wire.
func (w *Worker) answerBeat(number uint64) {
	var what string
	var since time.Duration
	if s := w.current.Load(); s == nil {
		w.seen = weak.Pointer[scope]{}
	} else {
		if seen := weak.Make(s); seen != w.seen {
			w.seen, w.seenAt = seen, time.Now()
		}
		what, since = s.what(), time.Since(w.seenAt)
	}
	w.link.Tell(link.Quietly, wire.NewBeat(number, what, since))
	w.link.Push() // Push never waits, and mostly spares the link from waking another goroutine
}

// reportOverdue tells main that a handler or an action has run too long.
func (w *Worker) reportOverdue(s *scope, d time.Duration) {
	w.link.Tell(link.Soon, wire.NewOverdue(s.what(), d))
}

// dump sends main the stacks of all goroutines. It runs on the goroutine that reads the wire, also
// while a handler spins. It writes them at once, because the process may be killed in a moment. It
// does not wait for the pipe, because main may not read on before this goroutine does.
func (w *Worker) dump() {
	buf := make([]byte, life.MaxStacks)
	buf = buf[:runtime.Stack(buf, true)]
	w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Stacks, Body: buf})
	w.link.Push()
}

// adopt takes over what main's welcome says: main may have been configured in a way that this
// process does not know.
func (w *Worker) adopt(wl *life.Welcome) {
	w.maxBody, w.maxRSS, w.teardown, w.handlerTimeout = wl.MaxBody, wl.MaxRSS, wl.Teardown, wl.HandlerTimeout
	w.link.Limit(wl.MaxBody)
	if wl.MemoryLimit > 0 || wl.MaxRSS > 0 {
		w.link.Frugal()
	}
	if wl.Shares {
		w.link.StartSharing()
	}
	w.receiver.resize(int64(wl.Window))
	if wl.Redelivers {
		w.receiver.begins = w.link.Begin
	}
	w.receipts.Open(w.link, int64(wl.Window), wl.Redelivers && !(w.role.process && w.link.HasBox()))
}

// know takes in which pools there are, and their sizes.
func (w *Worker) know(pools map[string]int) {
	w.knownMu.Lock()
	defer w.knownMu.Unlock()
	w.known, w.pools = append(poolNames(pools), MainName), pools
}

// ack gathers what main is to be told about messages. bytes is credit that the message gives back;
// gone says that the message has left the inbox, so that this is the rest of its credit.
func (w *Worker) ack(m *Message, bytes int64, gone bool) {
	w.receipts.Give(m.serial, bytes, gone, gone && m.told) // before that, the loop may still have the message
}

// toldExit notes why main ends this worker. The goroutine that reads the wire calls it.
func (w *Worker) toldExit(f *wire.Frame) {
	why := ErrStopped
	if len(f.Body) > 0 {
		why = unmarshalError(f.Body)
	}
	if !errors.Is(why, ErrStopped) { // the packed error does not have ErrStopped in it
		why = &stoppedError{why}
	}
	w.why.Store(&why)
}
