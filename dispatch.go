package multiprolab

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the part of the broker, in main, that hands jobs to workers and takes them back. All
// of it runs under the broker's mutex, but for returned, split and retire, which take it.

// taskWorker is what the broker knows of one life of a worker. It exists in main; the broker's
// mutex guards it.
type taskWorker struct {
	peer     *peer
	kind     *kind // of the tasks that it takes
	most     int   // tasks ahead
	held     map[uint64]*job
	fetches  []fetch
	took     time.Duration // a running mean of how long its tasks take; 0: none has ended
	gone     bool
	retiring bool // it gets nothing new, and is led out once it holds nothing
	batches  bool // the last that it was done with was one of several items
	done     int  // attempts that have ended
	doomed   bool // it is being killed
	away     bool // it gave back what it had been given and not begun, though it had nothing else: it handles a message
	suspect  int  // held jobs that are condemned: it may be killed soon, and gets nothing new
	woken    bool // it is in broker.woken
}

// window is the number of tasks that the worker may hold: one, and as many as it will be done with
// soon, but no more than it will be replaced after.
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

// idle reports whether the worker could have something to do, and has nothing.
func (w *taskWorker) idle() bool { return w.sound() && len(w.held) == 0 }

// mayHave reports whether the worker is one that is given jobs of a lane.
func (w *taskWorker) mayHave(l *lane) bool {
	return !slices.Contains(l.waited, w) &&
		slices.ContainsFunc(l.offers, func(o *offer) bool { return o.kind == w.kind && o.pull == given })
}

// stir notes that a lane has a new first job.
func (b *broker) stir(l *lane) {
	if !l.stirred {
		l.stirred = true
		b.stirred = append(b.stirred, l)
	}
}

// wake notes that a worker may have room, or nothing left to do.
func (b *broker) wake(w *taskWorker) {
	if !w.woken {
		w.woken = true
		b.woken = append(b.woken, w)
	}
}

// handOut hands out what can be handed out: the last step of every event. What has come to the
// front of its lane goes to the worker with the least to do, and then the workers that have got
// room are looked after.
func (b *broker) handOut() {
	for {
		b.unblock()
		switch {
		case len(b.stirred) > 0:
			b.place(b.firstStirred())
		case len(b.woken) > 0:
			w := b.woken[0]
			b.woken = slices.Delete(b.woken, 0, 1)
			w.woken = false
			b.feed(w)
		default:
			return
		}
	}
}

// firstStirred takes the lane out of stirred that goes before the others.
func (b *broker) firstStirred() *lane {
	best := 0
	for i, l := range b.stirred {
		if l.open() && (!b.stirred[best].open() || l.before(b.stirred[best])) {
			best = i
		}
	}
	l := b.stirred[best]
	l.stirred = false
	b.stirred = slices.Delete(b.stirred, best, best+1)
	return l
}

// take takes the first job of a lane that may run now; those whose keys are taken are parked. It
// returns nil if there is none.
func (b *broker) take(l *lane) *job {
	for l.jobs.n > 0 {
		j := l.jobs.first
		b.leaveLine(j)
		if b.takeKey(j) {
			return j
		}
	}
	return nil
}

// place hands jobs of a lane to the workers that have room, those with the fewest first. A worker
// that has just got room may get another job, which goes before.
func (b *broker) place(l *lane) {
	for !b.halted && l.open() {
		w, fetch, spare := l.choose()
		if w == nil {
			return
		}
		best := (*lane)(nil)
		if fetch >= 0 {
			best = w.kind.nextPulled(w, w.fetches[fetch].types)
		} else {
			best = w.kind.nextWork(w)
		}
		if j := b.take(best); j != nil && b.assign(j, w, fetch) && spare {
			b.watch(j)
		}
	}
}

// choose returns the worker that gets the next job of the lane: one with a GetTask that waits for
// it, and the place of that, or with -1 the one with the least to do: with the fewest tasks or, of
// those with as many, the fewest messages and calls. It returns nil if none has room. spare reports
// whether there is another one that has nothing to do.
func (l *lane) choose() (best *taskWorker, fetch int, spare bool) {
	load := -1 // of best in messages and calls; -1: unknown
	for _, o := range l.offers {
		for _, w := range o.kind.workers {
			switch {
			case !w.sound(), slices.Contains(l.waited, w):
			case o.pull != given:
				if i := w.fetchOf(o.pull); i >= 0 {
					return w, i, false
				}
			case !w.hasRoom():
			case best == nil, w.before(best):
				spare = best != nil && best.idle()
				best, load = w, -1
			case best.before(w):
				spare = spare || w.idle()
			default:
				spare = spare || w.idle()
				if load < 0 {
					load = best.peer.slot.pending()
				}
				if load == 0 && spare {
					return best, -1, true // nobody has less to do
				}
				if n := w.peer.slot.pending(); n < load {
					best, load = w, n
				}
			}
		}
	}
	return best, -1, spare
}

// before reports whether a worker that has room gets a task before another one, whatever messages
// they have.
func (w *taskWorker) before(o *taskWorker) bool {
	if w.away != o.away {
		return o.away
	}
	return len(w.held) < len(o.held)
}

// feed hands a worker that has room what it takes: of the highest priority, the oldest first. If
// there is nothing and it has nothing to do, another worker's tasks that have not been started are
// taken back for it.
func (b *broker) feed(w *taskWorker) {
	switch {
	case w.gone:
		return
	case w.retiring:
		b.leadOutIfIdle(w)
		return
	}
	for !b.halted && w.hasRoom() {
		l := w.kind.nextWork(w)
		if l == nil {
			break
		}
		if j := b.take(l); j != nil {
			b.assign(j, w, -1)
		}
	}
	for i := 0; i < len(w.fetches); {
		if !b.answerFetch(w, i) {
			i++
		}
	}
	if b.store != nil {
		b.store.demand()
	}
	if !b.halted && w.idle() {
		b.recallFor(w)
	}
}

// assign sends a job to a worker: as the answer to one of its calls of GetTask, or with -1 without
// being asked. It reports whether the job is on its way.
func (b *broker) assign(j *job, w *taskWorker, fetch int) bool {
	first := len(w.held) == 0
	b.move(j, assigned)
	j.holder = w
	w.held[j.id] = j
	w.peer.holds.Add(1)
	f := &wire.Frame{Kind: wire.Task, ID: j.id, From: MainName, Type: j.lane.typ}
	if fetch >= 0 {
		f.ForFetch(w.fetches[fetch].id)
	}
	if j.submitter != nil {
		f.From = j.submitter.slot.name
	}
	if j.attempts > 0 || j.meta.Chain != "" || j.meta.Timeout > 0 {
		f.Meta = taskMeta{Attempt: j.attempts + 1, Chain: j.meta.Chain, Timeout: j.meta.Timeout}.marshal()
	}
	if j.limit != nil {
		f.Left = leftUntil(j.limit.due)
	}
	setPayload(f, j.payload)
	if j.batch > 0 {
		f.Flags |= wire.FlagBatch
	}
	if j.meta.Timeout > 0 {
		f.Flags |= wire.FlagTimed
	}
	l, how := w.peer.link, link.Quietly
	if j.batch == 0 && !first { // more may follow, to be written together
		how = link.Soon
	}
	err := l.Post(how, f)
	if err != nil && err != link.ErrClosed { // no worker can be sent it, and this one has done nothing wrong
		err = fmt.Errorf("multiprolab: %v could not be sent to worker %s: %w", j, w.peer.slot.name, err)
		b.finish(j, &reply{err: err})
		return false
	}
	if fetch >= 0 {
		w.fetches = slices.Delete(w.fetches, fetch, fetch+1)
	}
	// If the link is closed the worker is gone: leave gives the job to another.
	if err == nil && how == link.Quietly && !slices.Contains(b.mu.posted, l) {
		b.mu.posted = append(b.mu.posted, l)
	}
	return true
}

// recallFor asks the worker with the most tasks that it has not started for half of them, if w
// takes them. One that has been given a single task is about to start it; if it has not after a
// time, the task is taken back as well.
func (b *broker) recallFor(w *taskWorker) {
	var spare []*job
	workers := b.workers
	if b.inState[assigned] == 0 {
		workers = nil
	}
	for _, v := range workers {
		if v == w || len(v.held) == 0 || len(v.held) == 1 && len(spare) > 0 {
			continue
		}
		var s []*job
		for _, j := range v.held {
			if j.state == assigned && !j.recalled && w.mayHave(j.lane) {
				s = append(s, j)
			}
		}
		switch {
		case len(s) == 1 && len(v.held) == 1 && (!v.away || w.away):
			b.watch(s[0])
		case len(s) > len(spare):
			spare = s
		}
	}
	if len(spare) == 0 {
		b.splitFor(w)
		return
	}
	slices.SortFunc(spare, byAge)
	for _, j := range spare[len(spare)/2:] { // the last half, in their order, so that they come back in it
		b.recall(j)
	}
}

// sitTime is how long a task that a worker has been given, and has not begun, stays there while
// another worker has nothing to do. The next time it is twice as long, and so on up to maxSitTime,
// for the other one may be no quicker.
const (
	sitTime    = 2 * time.Millisecond
	maxSitTime = time.Second
)

// watch has the broker look whether a worker begins with the task that it has been given.
func (b *broker) watch(j *job) {
	if j.state == assigned && j.condemned == nil && j.alarm.place == 0 {
		b.agenda.set(&j.alarm, sits, b.clock.now()+min(sitTime<<j.sat, maxSitTime))
	}
}

// takeBack has a task that a worker has not begun for some time recalled, if another one has
// nothing to do.
func (b *broker) takeBack(j *job) {
	for _, w := range b.workers {
		if w != j.holder && w.idle() && w.mayHave(j.lane) && !j.recalled {
			j.holder.away = true
			j.sat = min(j.sat+1, 10)
			b.recall(j)
			return
		}
	}
}

// splitTime is how long a batch runs before its items are given to workers that have nothing to do.
const splitTime = 2 * time.Millisecond

// splitFor asks a worker that has been at a batch for some time to give back the rest of it, if w
// takes it. One that has just begun is looked at again later, for whoever has nothing to do by
// then.
func (b *broker) splitFor(w *taskWorker) {
	if len(b.batches) == 0 {
		return
	}
	now := b.clock.now()
	for _, j := range b.batches {
		if j.recalled || !w.mayHave(j.lane) {
			continue
		}
		if old := later(j.began, splitTime); old > now {
			b.lookAt(old)
			continue
		}
		b.recall(j)
		return
	}
}

// watchBatch has a batch that has just begun looked at later if a worker has nothing to do: it had
// not, before this was known to run.
func (b *broker) watchBatch(j *job) {
	if j.batch < 2 || b.halted || j.recalled {
		return
	}
	for _, w := range b.workers {
		if w.idle() && w.mayHave(j.lane) {
			b.lookAt(later(j.began, splitTime))
			return
		}
	}
}

// lookAt has the broker look at a moment, if it does not before, whether workers with nothing to do
// can have something that others hold.
func (b *broker) lookAt(at moment) {
	if b.lookout.place == 0 || at < b.lookout.at {
		b.agenda.set(&b.lookout, looks, at)
	}
}

// look finds the workers that have nothing to do something that others hold.
func (b *broker) look() {
	for _, w := range b.workers {
		if w.idle() {
			b.wake(w)
		}
	}
}

// recall asks the holder of a job to give it back, unless it has begun with it; a batch that it has
// begun with it is to split.
func (b *broker) recall(j *job) {
	j.recalled = true
	j.holder.peer.link.Tell(link.Soon, &wire.Frame{Kind: wire.Recall, ID: j.id})
}

// giveBack puts a job that its holder has not started to the front of its lane.
func (b *broker) giveBack(j *job) {
	b.release(j)
	if b.halted {
		b.finish(j, &reply{err: b.stopped})
		return
	}
	b.lineUp(j, true)
}

// returned takes back a job that was recalled.
func (b *broker) returned(p *peer, id uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.heldBy(p, id, "gave back")
	switch {
	case err != nil:
		return err
	case j.state != assigned:
		return lie("it gave back %v, which it had begun", j)
	case !j.recalled:
		return lie("it gave back %v, which it was not asked for", j)
	case j.condemned != nil:
		b.conclude(j, &reply{err: j.condemned})
	default:
		b.giveBack(j)
	}
	return nil
}

// split takes back the items of a batch that a worker has not started. The worker answers a Recall
// so once, and before the result; it may have started all.
func (b *broker) split(p *peer, id uint64, from uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.heldBy(p, id, "split")
	switch {
	case err != nil:
		return err
	case j.state != running || j.batch == 0 || !j.recalled:
		return lie("it split %v, which it was not asked to", j)
	case j.cut:
		return lie("it split %v twice", j)
	case from < 1 || from > uint64(j.batch):
		return lie("it split %v, which is %d tasks, behind number %d", j, j.batch, from)
	}
	j.cut = true
	if rest := uint64(j.batch) - from; rest > 0 && j.condemned == nil {
		b.stats.Received -= rest
		b.stats.Running -= rest
		j.batch = int(from)
		if s := b.node.submission(j.submitterID, false); s != nil && s.split != nil {
			s.split(int(from))
		}
	}
	return nil
}

// retire gives a worker nothing new; what it has not started goes to others. When it holds nothing
// any more its supervisor replaces it. It reports whether the worker is one that can be retired:
// ready, and alive.
func (b *broker) retire(p *peer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := p.tasks
	if w == nil || w.gone {
		return false
	}
	w.retiring = true
	b.wake(w)
	if p.slot.leaving.Load() {
		b.failUnservable() // it will not be replaced
	}
	return true
}

// leadOutIfIdle takes what a retiring worker has not started back, and tells its supervisor once it
// holds nothing.
func (b *broker) leadOutIfIdle(w *taskWorker) {
	for _, f := range w.fetches {
		w.peer.link.Tell(link.Soon, &wire.Frame{Kind: wire.NoTask, ID: f.id})
	}
	w.fetches = nil
	for _, j := range slices.SortedFunc(maps.Values(w.held), byAge) {
		if j.state == assigned && !j.recalled {
			b.recall(j)
		}
	}
	if len(w.held) == 0 {
		wakeUp(w.peer.retired)
	}
}
