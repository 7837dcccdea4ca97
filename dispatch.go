package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the part of the broker, in main, that hands jobs to workers and takes them back. All of it runs under the broker's mutex, but for returned and
// retire, which take it.

// taskWorker is what the broker knows of one life of a worker.
type taskWorker struct {
	peer     *peer
	queues   []string
	handles  []string // types
	most     int      // tasks ahead
	held     map[uint64]*job
	fetches  []fetch
	took     time.Duration // a running mean of how long its tasks take; 0: none has ended
	gone     bool
	retiring bool // it gets nothing new, and is led out once it holds nothing
	batches  bool // the last that it was done with was one of several items
	done     int  // attempts that have ended
	doomed   bool // it is being killed
	suspect  int  // held jobs that are condemned: it may be killed soon, and gets nothing new
}

// window is the number of tasks that the worker may hold: one, and as many as it will be done with soon, but no more than it will be replaced after.
func (w *taskWorker) window() int {
	n := 1
	if w.took > 0 {
		ahead := int(aheadTime / max(w.took, time.Microsecond))
		if w.batches { // a batch that takes long is split when another worker has nothing to do
			ahead = max(1, ahead)
		}
		n += min(w.most, ahead)
	}
	if most := w.peer.slot.pool.cfg.MaxTasks; most > 0 {
		n = min(n, most-w.done)
	}
	return n
}

// sound reports whether the worker may be given tasks at all.
func (w *taskWorker) sound() bool {
	return !w.gone && !w.retiring && !w.doomed && w.suspect == 0
}

func (w *taskWorker) hasRoom() bool {
	return w.sound() && len(w.held) < w.window()
}

// lessBusy reports whether the worker has less to do than another: fewer tasks or, with as many, fewer messages and calls.
func (w *taskWorker) lessBusy(than *taskWorker) bool {
	if len(w.held) != len(than.held) {
		return len(w.held) < len(than.held)
	}
	return w.peer.slot.pending() < than.peer.slot.pending()
}

func (w *taskWorker) takes(l *lane) bool {
	return slices.Contains(w.handles, l.typ) && slices.Contains(w.queues, l.queue)
}

// fetch is a GetTask that waits.
type fetch struct {
	id    uint64
	types []string
}

// first returns the first job of a lane that can be handed out, without taking it. What has ended where it was, is dropped.
func (b *broker) first(l *lane) *job {
	for l.returned.len() > 0 {
		if j := l.returned.items[l.returned.head]; j.state == queued {
			return j
		}
		l.returned.pop()
	}
	for b.source != nil {
		j := b.source.peek(l.name)
		if j == nil || j.state == queued {
			return j
		}
		_ = b.source.tryFetch(l.name).Ack(context.Background())
	}
	return nil
}

// take takes the first job of a lane that may run now; those whose keys are taken are parked. It returns nil if there is none.
func (b *broker) take(l *lane) *job {
	for {
		j := b.first(l)
		if j == nil {
			return nil
		}
		if l.returned.len() > 0 {
			l.returned.pop()
		} else {
			j.lease = b.source.tryFetch(l.name)
		}
		if b.takeKey(j) {
			return j
		}
	}
}

// place hands jobs of a lane to the workers that have room, those with the fewest first.
func (b *broker) place(l *lane) {
	for !b.halted && !b.paused[l.queue] {
		head := b.first(l)
		if head == nil {
			return
		}
		var best *taskWorker
		bestFetch := -1
		for _, w := range b.workers {
			if !w.sound() || head.waitsFor(w) {
				continue
			}
			if i := slices.IndexFunc(w.fetches, func(f fetch) bool { return slices.Contains(f.types, l.typ) }); i >= 0 && slices.Contains(w.queues, l.queue) {
				best, bestFetch = w, i
				break
			}
			if w.hasRoom() && w.takes(l) && (best == nil || w.lessBusy(best)) {
				best = w
			}
		}
		if best == nil {
			return
		}
		j := b.take(l)
		if j == nil {
			return
		}
		var fetchID string
		if bestFetch >= 0 {
			fetchID = strconv.FormatUint(best.fetches[bestFetch].id, 10)
			best.fetches = slices.Delete(best.fetches, bestFetch, bestFetch+1)
		}
		b.assign(j, best, fetchID)
	}
}

// feed hands a worker that has room what it takes: of the highest priority, the oldest first. If there is nothing and it has nothing to do, another
// worker's tasks that have not been started are taken back for it.
func (b *broker) feed(w *taskWorker) {
	for !b.halted && w.hasRoom() {
		j := b.next(w, w.handles)
		if j == nil {
			if len(w.held) == 0 {
				b.recallFor(w)
			}
			return
		}
		b.assign(j, w, "")
	}
}

// answerFetches hands a worker tasks that it waits for in GetTask: it got none while it was suspect.
func (b *broker) answerFetches(w *taskWorker) {
	for i := 0; i < len(w.fetches) && !b.halted && w.sound(); {
		f := w.fetches[i]
		j := b.next(w, f.types)
		if j == nil {
			i++
			continue
		}
		w.fetches = slices.Delete(w.fetches, i, i+1)
		b.assign(j, w, strconv.FormatUint(f.id, 10))
	}
}

// next takes the oldest job of the highest priority for a worker, of some of its types, or returns nil.
func (b *broker) next(w *taskWorker, types []string) *job {
	for {
		var best *lane
		var oldest *job
		for _, l := range b.inOrder {
			if best != nil && l.priority < best.priority {
				break
			}
			if !slices.Contains(types, l.typ) || !slices.Contains(w.queues, l.queue) || b.paused[l.queue] {
				continue
			}
			if j := b.first(l); j != nil && !j.waitsFor(w) && (oldest == nil || j.id < oldest.id) {
				best, oldest = l, j
			}
		}
		if best == nil {
			return nil
		}
		if j := b.take(best); j != nil {
			return j
		}
	}
}

// assign sends a job to a worker.
func (b *broker) assign(j *job, w *taskWorker, fetchID string) {
	b.waiting--
	idle := len(w.held) == 0
	j.state, j.holder = assigned, w
	w.held[j.id] = j
	w.peer.holds.Add(1)
	from := MainName
	if j.submitter != nil {
		from = j.submitter.slot.name
	}
	f := &wire.Frame{Kind: wire.Task, ID: j.id, To: fetchID, From: from, Type: j.lane.typ}
	if j.attempts > 0 || j.meta.Chain != "" {
		f.Meta = taskMeta{Attempt: j.attempts + 1, Chain: j.meta.Chain}.marshal()
	}
	setPayload(f, j.payload)
	if j.batch > 0 {
		f.Flags |= wire.FlagBatch
	}
	if j.meta.Timeout > 0 {
		f.Flags |= wire.FlagWait
	}
	l := w.peer.link           // posting fails only when the worker is gone: leave gives the job to another
	if j.batch == 0 && !idle { // more may follow, to be written together
		_ = l.post(f)
	} else if l.postQuiet(f) == nil && !slices.Contains(b.mu.posted, l) {
		b.mu.posted = append(b.mu.posted, l)
	}
	b.unblock()
}

// recallFor asks the worker with the most tasks that it has not started for half of them, if w takes them.
func (b *broker) recallFor(w *taskWorker) {
	var victim *taskWorker
	var spare []*job
	for _, v := range b.workers {
		if v == w {
			continue
		}
		var s []*job
		for _, j := range v.held {
			if j.state == assigned && !j.recalled && w.takes(j.lane) {
				s = append(s, j)
			}
		}
		// A worker that runs nothing is about to start the first.
		if len(s) > len(spare) && (len(s) > 1 || len(v.held) > 1) {
			victim, spare = v, s
		}
	}
	if victim == nil {
		b.splitFor(w)
		return
	}
	slices.SortFunc(spare, func(x, y *job) int { return cmp.Compare(y.id, x.id) }) // the last first
	// The last half, asked for in their order, so that they come back in it.
	for _, j := range slices.Backward(spare[:(len(spare)+1)/2]) {
		b.recall(j)
	}
}

// splitTime is how long a batch runs before its items are given to workers that have nothing to do.
const splitTime = 2 * time.Millisecond

// splitFor asks a worker that has been at a batch for some time to give back the rest of it, if w takes it. One that has just begun is looked at again later.
func (b *broker) splitFor(w *taskWorker) {
	for _, v := range b.workers {
		for _, j := range v.held {
			if v == w || j.state != running || j.batch < 2 || j.recalled || !w.takes(j.lane) {
				continue
			}
			if left := splitTime - time.Since(j.began); left > 0 {
				if j.timer == nil {
					j.timer = time.AfterFunc(left, func() {
						b.mu.Lock()
						defer b.mu.Unlock()
						if w.sound() && len(w.held) == 0 && !b.halted {
							b.splitFor(w)
						}
					})
				}
				continue
			}
			b.recall(j)
			return
		}
	}
}

// recall asks the holder of a job to give it back, unless it has begun with it.
func (b *broker) recall(j *job) {
	j.recalled = true
	_ = j.holder.peer.link.post(&wire.Frame{Kind: wire.Recall, ID: j.id})
}

// giveBack puts a job that its holder has not started to the front of its lane; of several the oldest comes first, in whatever order they come back.
func (b *broker) giveBack(j *job) {
	b.release(j)
	if b.halted {
		b.finish(j, &reply{err: b.stopped})
		return
	}
	j.state = queued
	b.waiting++
	j.lane.returned.pushFront(j)
	j.lane.returned.sink(func(x, y *job) bool { return x.id < y.id })
	b.place(j.lane)
}

// returned takes back a job that was recalled.
func (b *broker) returned(p *peer, id uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.heldBy(p, id)
	if j == nil {
		return err
	}
	if j.state != assigned || !j.recalled {
		return &wireViolation{fmt.Sprintf("it gave back %v, which it was not asked for", j)}
	}
	w := j.holder
	if j.condemned != nil {
		b.conclude(j, &reply{err: j.condemned})
		b.retireIfIdle(w)
		return nil
	}
	b.giveBack(j)
	b.feed(w)
	b.retireIfIdle(w)
	return nil
}

// split takes back the items of a batch that a worker has not started.
func (b *broker) split(p *peer, id uint64, from uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.heldBy(p, id)
	if j == nil {
		return err
	}
	if from < 1 || j.batch == 0 || !j.recalled {
		return &wireViolation{fmt.Sprintf("it split %v, which it was not asked to", j)}
	}
	if from >= uint64(j.batch) || j.condemned != nil {
		return nil
	}
	b.stats.Received -= uint64(j.batch) - from
	j.batch = int(from)
	if s := b.node.submission(j.submitterID, false); s != nil && s.split != nil {
		s.split(int(from))
	}
	return nil
}

// retire gives a worker nothing new; what it has not started goes to others. When it holds nothing any more its supervisor replaces it.
// It reports whether the worker is one that can be retired: ready, and alive.
func (b *broker) retire(p *peer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := p.tasks
	if w == nil || w.gone {
		return false
	}
	w.retiring = true
	b.retireIfIdle(w)
	return true
}

func (b *broker) retireIfIdle(w *taskWorker) {
	if !w.retiring || w.gone {
		return
	}
	for _, f := range w.fetches {
		_ = w.peer.link.post(&wire.Frame{Kind: wire.NoTask, ID: f.id})
	}
	w.fetches = nil
	for _, j := range w.held {
		if j.state == assigned && !j.recalled {
			b.recall(j)
		}
	}
	if len(w.held) == 0 {
		wakeUp(w.peer.retired)
	}
}
