package queue

// Stats returns the counts.
func (q *Queue) Stats() Stats { return q.stats }

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
	q.count(t.lane, func(s *Stats) {
		blamed := 1
		if t.Items > 0 {
			var again int
			blamed, again = v.Shares(int(t.Items))
			s.Succeeded += int(v.Items.OK)
			s.Failed += int(v.Items.Failed)
			s.Received -= again + int(v.Items.Later)
		}
		switch {
		case v.Kind == Cancelled || v.Kind == Stopped:
			s.Cancelled += blamed
		case v.Kind != Done || t.Items > 0:
			s.Failed += blamed
		default:
			s.Succeeded++
		}
	})
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
