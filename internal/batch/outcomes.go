package batch

import "math"

// Outcomes is the well-formed outcomes at the start of the body of a result.
type Outcomes struct {
	Body   []byte // a body itself, with these outcomes and nothing behind them
	OK     int    // how many are values
	Failed int    // how many are errors, those that are to come later apart
	Later  int    // how many items are to be started again, each as a task of its own
}

// Count returns how many outcomes there are.
func (o *Outcomes) Count() int { return o.OK + o.Failed + o.Later }

// OutcomesOf returns the outcomes in the body of a result that a worker wrote, which need not be
// honest: as many as are well-formed, and at most so many.
func OutcomesOf(b []byte, most int) (o Outcomes) {
	r := Read(b)
	for ; most > 0; most-- {
		s, ok := r.skip()
		if !ok {
			break
		}
		switch s {
		case OK:
			o.OK++
		case Failed:
			o.Failed++
		default:
			o.Later++
		}
	}
	o.Body = b[:len(b)-len(r.rest)]
	return o
}

// Whole returns the outcomes in the body of a result, and whether a worker may give it: an honest
// one writes whole outcomes and nothing behind them, and has one at least. More of them than the
// batch has items is a lie as well; who calls this knows their number.
func Whole(b []byte) (o Outcomes, wellFormed bool) {
	o = OutcomesOf(b, math.MaxInt)
	return o, o.Count() > 0 && len(o.Body) == len(b)
}

// Ending is how the attempt at a batch ended.
type Ending uint8

const (
	// Returned is a result. What has no outcome in it has not been begun.
	Returned Ending = iota
	// Broken is an error that all items have that have no outcome of their own.
	Broken
	// Died is the death of the worker. The item behind the last outcome was running, if there is
	// one; what is behind that has not been begun.
	Died
)

// Shares says what becomes of the items of a batch that has ended. Each item is in one share,
// whatever a worker wrote: the first ones have outcomes, the next ones are blamed, and the rest is
// to be given out again.
type Shares struct {
	Outcomes
	Blamed int // how many items end with the error of the batch
	Again  int // how many items have not been begun
}

// Share divides the n items of a batch whose result has the body b.
func Share(b []byte, n int, end Ending) Shares {
	s := Shares{Outcomes: OutcomesOf(b, n)}
	left := n - s.Count()
	switch {
	case end == Broken:
		s.Blamed = left
	case end == Died:
		s.Blamed = min(left, 1) // none if all have outcomes: the death came behind the last item
	case s.Count() == 0:
		s.Blamed = min(left, 1) // a result without an outcome is a lie, and would go round for ever
	}
	s.Again = left - s.Blamed
	return s
}
