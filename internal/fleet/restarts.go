package fleet

import "time"

// maxCauses is the greatest number of causes in a Reason.
const maxCauses = 10

// record is the failures of one slot that count.
type record struct {
	// failures are the failures within the window, the oldest first. Without a limit they are the
	// last maxCauses failures.
	failures []failure
	// row counts the failures in a row, for the pauses.
	row int
}

// failure is the end of a life that counts.
type failure struct {
	// at is when the life ended.
	at time.Duration
	// why is what the life ended of.
	why Reason
}

// ending is what the rules of restarts look at.
type ending struct {
	// at is the time of the end.
	at time.Duration
	// ready says that the life had become ready.
	ready bool
	// lasted is the time from when the life became ready to its end.
	lasted time.Duration
	// blamed says that the failure is that of a task.
	blamed bool
	// permanent says that another start would fail alike.
	permanent bool
	// why is what the life ended of: Failed, Quit or NeedGone.
	why Reason
}

// verdict is what follows from an ending.
type verdict struct {
	// restart says that another life follows.
	restart bool
	// pause is the time before the next life.
	pause time.Duration
	// limit is why no life follows although the policy asks for one. Otherwise its kind is None.
	limit Reason
}

// after decides what follows a life that ended by itself. A life that the program has ended or
// replaced is none of its business.
func (r *record) after(d *PoolDesc, e *ending, rand func() float64) verdict {
	switch {
	case d.Policy == NoRestart, d.Policy == OnFailure && e.why.Kind == Quit:
		return verdict{}
	case e.permanent && e.why.Kind != Quit:
		r.failures = append(r.failures, failure{e.at, e.why})
		return verdict{limit: r.limit(true)}
	case e.blamed: // the failure is that of a task, which has its outcome
		return verdict{restart: true}
	}
	// A life that never became ready ends no window. Otherwise, slow failures to start would go on
	// for ever.
	for e.ready && len(r.failures) > 0 && e.at-r.failures[0].at > d.Window {
		r.failures = r.failures[1:]
	}
	if e.ready && e.lasted > d.Reset {
		r.row = 0
	}
	r.row++
	r.failures = append(r.failures, failure{e.at, e.why})
	if d.Limit < 0 {
		r.failures = r.failures[max(0, len(r.failures)-maxCauses):]
	} else if len(r.failures) > d.Limit {
		return verdict{limit: r.limit(false)}
	}
	return verdict{restart: true, pause: r.pause(d, rand)}
}

// inVain returns the pause before the next life after one that has gone by itself, so long after it
// had become ready, without having done anything. That is no failure, but counts for the pauses if
// it was gone within what would be the first of them: others are not so many.
func (r *record) inVain(d *PoolDesc, lasted time.Duration, rand func() float64) time.Duration {
	if lasted > d.Reset {
		r.row = 0
	}
	if lasted > d.Delay {
		return 0
	}
	r.row++
	return max(0, r.pause(d, rand)-lasted)
}

// pause returns the pause before the next life: none after the first failure in a row, then longer
// and longer ones. The random part is subtracted.
func (r *record) pause(d *PoolDesc, rand func() float64) time.Duration {
	if r.row == 1 {
		return 0
	}
	long, most := float64(d.Delay), float64(d.MaxDelay)
	for range r.row - 2 {
		if long *= d.Factor; long >= most {
			break
		}
	}
	long = min(long, most)
	if d.Jitter > 0 {
		long *= 1 - d.Jitter*rand()
	}
	return time.Duration(long)
}

// limit returns the reason that the limit is reached, with the failures that count. The last of
// them was one too many.
func (r *record) limit(permanent bool) Reason {
	l := Reason{Kind: Limit, Permanent: permanent, Restarts: len(r.failures) - 1}
	for _, f := range r.failures[max(0, len(r.failures)-maxCauses):] {
		l.Causes = append(l.Causes, f.why)
	}
	return l
}
