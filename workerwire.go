package multiprolab

import (
	"errors"
	"runtime"
	"time"
	"weak"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// receive handles a frame from main. It runs on the goroutine that reads the wire, and so never
// waits.
func (w *Worker) receive(f *wire.Frame) (served bool, err error) {
	served = w.waiting.Load() // the loop, which will read next
	return served, w.take(f)
}

func (w *Worker) take(f *wire.Frame) error {
	switch f.Kind {
	case wire.Welcome:
		var wl life.Welcome
		if err := unmarshalBody(f, &wl); err != nil {
			return err
		}
		w.adopt(&wl)
		w.welcome = &wl
	case wire.Pools:
		var pools life.Pools
		if err := unmarshalBody(f, &pools); err != nil {
			return err
		}
		w.know(pools)
	case wire.Exit:
		mode := ShutdownMode(f.ExitMode())
		w.toldExit(f)
		w.loop.exit(mode) // first: an action that gets ErrStopped from GetTask must find that its context has ended
		if mode == FinishRunning {
			w.inbox.seal()
		}
		w.cancel(ErrExit) // who sees this sees no further task begin
	case wire.Credit:
		w.out.granted(f.Credit())
	case wire.Message, wire.Call:
		m := &Message{
			Sender:   f.From,
			Receiver: w.name,
			Type:     f.Type,
			payload:  payloadOf(f),
			size:     cost(f),
			scope:    scope{node: w.node},
			chain:    f.Meta,
			left:     w.left,
		}
		if f.Kind == wire.Call {
			m.id, m.scope.limit = f.ID, limitIn(f)
			m.reply = func(r *reply) { w.link.Answer(link.Lazily, replyFrame(wire.Reply, m.id, r)) }
		} else {
			w.came++
			m.serial = w.came
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
	case wire.Beat:
		number, _ := f.Beat()
		w.answerBeat(number)
	case wire.Recall:
		w.inbox.giveBack(f.ID)
	case wire.Task:
		return w.inbox.deliver(f)
	case wire.NoTask:
		w.inbox.answer(f.ID, nil)
	case wire.Accepted:
		if s := w.submission(f.ID, false); s != nil {
			close(s.accepted)
		}
	case wire.Progress:
		if s := w.submission(f.ID, false); s != nil {
			s.addProgress(
				&Message{
					Sender:   f.From,
					Receiver: w.name,
					Type:     f.Type,
					payload:  payloadOf(f),
					scope:    scope{node: w.node},
				},
			)
		}
	case wire.Result:
		w.resolve(f.ID, replyOf(f))
	case wire.Await:
		w.refused(f.ID, f.Spell(), w.recognise(unmarshalError(f.Body)))
	default:
		return lie("main sent a %v frame", f.Kind)
	}
	return nil
}

// starveTime is after what time main is asked again whether a wait for room may go on: messages
// that were on their way then have been taken, mostly.
const starveTime = 50 * time.Millisecond

// starve tells main that the loop waits for room for what it sends. It returns where the error
// comes that it must not, and what tells the end of the wait. When the function that waits has
// returned, of which loop is the scope, the loop goes on, and main is told no more.
func (w *Worker) starve(loop *scope) (refused <-chan error, over func()) {
	id, ch := w.nextID(), make(chan error, 1)
	w.ackMu.Lock()
	if w.starving == nil {
		w.starving = map[uint64]chan error{}
	}
	w.starving[id] = ch
	w.ackMu.Unlock()
	ask := func() {
		w.out.inOrder(func() {
			if !loop.over.Load() {
				w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Await, Type: awaitRoom, ID: id})
			}
		})
	}
	ask()
	ended := make(chan struct{})
	go func() { // ends with the wait
		again := time.NewTicker(starveTime)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				ask()
			case <-ended:
				return
			}
		}
	}()
	return ch, func() {
		close(ended)
		w.ackMu.Lock()
		delete(w.starving, id)
		w.ackMu.Unlock()
		w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Await, Type: awaitRoom, Flags: wire.FlagSoft, ID: id})
	}
}

// refused ends a wait of the loop that would be in a circle: for a task, or for room.
func (w *Worker) refused(id, spell uint64, err error) {
	if s := w.submission(id, false); s != nil {
		s.refuse(spell, err)
		return
	}
	w.ackMu.Lock()
	defer w.ackMu.Unlock()
	if ch := w.starving[id]; ch != nil && len(ch) == 0 {
		ch <- err
	}
}

// answerBeat is the worker's answer to a question for a sign of life, by its number. It runs on the
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
	w.link.Push() // it never waits, and mostly nobody has to be woken for it
}

// reportOverdue tells main that a handler or an action has run too long.
func (w *Worker) reportOverdue(s *scope, d time.Duration) {
	w.link.Tell(link.Soon, wire.NewOverdue(s.what(), d))
}

// dump sends main the stacks of all goroutines. It runs on the goroutine that reads the wire,
// beside a handler that spins, and writes at once, for the process may be killed in a moment. It
// does not wait for the pipe: main may read on only when this goroutine does.
func (w *Worker) dump() {
	buf := make([]byte, life.MaxStacks)
	buf = buf[:runtime.Stack(buf, true)]
	w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Stacks, Body: buf})
	w.link.Push()
}

// adopt takes over the limits of main, which may have been configured from what only main knew.
func (w *Worker) adopt(wl *life.Welcome) {
	w.maxBody, w.maxRSS, w.teardown, w.handlerTimeout = wl.MaxBody, wl.MaxRSS, wl.Teardown, wl.HandlerTimeout
	w.link.Limit(wl.MaxBody)
	if wl.MemoryLimit > 0 || wl.MaxRSS > 0 {
		w.link.Frugal()
	}
	if wl.Shares {
		w.link.StartSharing()
	}
	w.out.resize(int64(wl.Window))
	w.receiver.resize(int64(wl.Window))
	w.ackMu.Lock()
	defer w.ackMu.Unlock()
	w.window = int64(wl.Window)
}

// know takes in which receivers there are.
func (w *Worker) know(pools map[string]int) {
	w.ackMu.Lock()
	defer w.ackMu.Unlock()
	w.known, w.pools = append(poolNames(pools), MainName), pools
}

// ack gathers what main is to be told of messages; idle, or a quarter of the window, tells it. The
// credit is some of what the message cost or, if the message is gone from the inbox, the rest.
func (w *Worker) ack(m *Message, bytes int64, gone bool) {
	w.ackMu.Lock()
	due := w.receipts.Credit(bytes, w.window)
	alone := false
	if gone && m.serial > 0 { // what becomes of a call its caller is told
		before := w.receipts.UpTo()
		alone = !w.receipts.Done(m.serial) && !m.told
		if now := w.receipts.UpTo(); now != before {
			w.link.Count(now) // which main reads if this process dies before it has sent the credit
		}
	}
	w.ackMu.Unlock()
	if alone {
		w.link.Tell(link.Lazily, wire.NewCreditAlone(m.serial))
	}
	if due {
		w.flushAcks()
	}
}

func (w *Worker) flushAcks() {
	w.ackMu.Lock()
	defer w.ackMu.Unlock()
	if bytes, upTo, ok := w.receipts.Take(); ok {
		w.link.Tell(link.Lazily, wire.NewCredit(bytes, upTo))
	}
}

// toldExit notes what main says of the end of this worker. Who reads the wire calls it.
func (w *Worker) toldExit(f *wire.Frame) {
	why := ErrStopped
	if len(f.Body) > 0 {
		why = unmarshalError(f.Body)
	}
	if !errors.Is(why, ErrStopped) { // the packed form has left it out
		why = &stoppedError{why}
	}
	w.why.Store(&why)
}
