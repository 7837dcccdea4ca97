package queue

// Stats returns the counts.
func (q *Queue) Stats() Stats { return q.figures.stats() }

var _ [states - 1 - int(ended)]struct{} // each state has its place in figures.at

// stats returns the figures as others see them.
func (f *figures) stats() Stats {
	return Stats{
		Received:  f.received,
		Succeeded: f.succeeded,
		Failed:    f.failed,
		Cancelled: f.cancelled,
		Queued:    f.at[blocked] + f.at[delayed] + f.at[stored] + f.at[queued] + f.at[parked] + f.at[assigned],
		Running:   f.at[running],
	}
}

// counts returns the counts as others see them.
func (c *tally) counts() *Counts {
	return &Counts{
		Name:     c.name,
		Stats:    c.stats(),
		Delayed:  c.at[delayed],
		Assigned: c.at[assigned],
		Blocked:  c.at[blocked],
		Dead:     c.dead,
		Retried:  c.retries,
		Times:    c.took,
	}
}

// all yields the counts of each tally, and those of the others if there are any.
func (s *tallies) all(yield func(c *Counts) bool) {
	for _, c := range s.list {
		if !yield(c.counts()) {
			return
		}
	}
	if s.others.received > 0 || s.others.lanes > 0 || s.others.dead > 0 {
		yield(s.others.counts())
	}
}

// Live is the number of tasks that have not ended.
func (q *Queue) Live() int { return q.live }

// Shares says what becomes of n items of a batch that has ended with a verdict: the first have
// outcomes of their own, the next are blamed and end with the verdict, and the others have not run
// and are to be submitted again. Each is one of these, whatever a worker has said.
func (v Verdict) Shares(n int) (blamed, again int) {
	again = max(0, n-v.Items.count())
	switch {
	case v.Kept, v.Kind == Done && v.Items.count() == 0:
		blamed = min(again, 1)
	case v.Kind != Done:
		blamed = again
	}
	return blamed, again - blamed
}

// tally counts the outcome of a task.
func (q *Queue) tally(t *Task, v Verdict) {
	var ok, failed, cancelled, gone int
	blamed := 1
	if t.Items > 0 {
		var again int
		blamed, again = v.Shares(int(t.Items))
		ok, failed, gone = int(v.Items.OK), int(v.Items.Failed), again+int(v.Items.Later)
	}
	switch {
	case v.Kind == Cancelled || v.Kind == Stopped:
		cancelled = blamed
	case v.Kind != Done || t.Items > 0:
		failed += blamed
	default:
		ok++
	}
	for _, f := range q.figuresOf(t.lane) {
		f.succeeded += ok
		f.failed += failed
		f.cancelled += cancelled
		f.received -= gone
	}
}

// Residue is what the books hold. When no task is left and no worker, it is that of a new Queue,
// whatever has happened: the zero value.
type Residue struct {
	Tasks     int // that have not ended
	Out       int // that workers have
	Submitted int // of workers, by their numbers
	Blocked   int
	Waiting   int
	Bytes     int
	Assigned  int
	Batches   int
	Lanes     int
	Keys      int
	Alarms    int
	Workers   int
	Kinds     int
	Stirred   int
	Woken     int
}

// Residue returns what the books hold.
func (q *Queue) Residue() Residue {
	return Residue{
		Tasks:     q.live,
		Out:       len(q.out),
		Submitted: len(q.submitted),
		Blocked:   q.blocked.n,
		Waiting:   q.waiting,
		Bytes:     q.bytes,
		Assigned:  q.assigned,
		Batches:   len(q.batches),
		Lanes:     len(q.lanes),
		Keys:      len(q.keys),
		Alarms:    len(q.timers.alarms.items) + len(q.timers.unstamped) + len(q.timers.gates.items),
		Workers:   len(q.workers) + len(q.ready),
		Kinds:     len(q.kinds),
		Stirred:   len(q.stirred.items),
		Woken:     q.woken.Len(),
	}
}
