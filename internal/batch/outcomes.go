package batch

import "math"

// Outcomes is the well-formed outcomes at the start of the body of a result.
type Outcomes struct {
	Body   []byte // a body with these outcomes and nothing behind them
	OK     int    // how many outcomes are values
	Failed int    // how many outcomes are errors for good
	Later  int    // how many items are to be started again later, each as a task of its own
}

// Count returns how many outcomes there are.
func (o *Outcomes) Count() int { return o.OK + o.Failed + o.Later }

// OutcomesOf returns the outcomes at the start of the body of a result, as many as are well-formed,
// and at most so many. A worker has written the body, and need not be honest.
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

// Whole returns the outcomes in the body of a result, and whether the body is well-formed: an
// honest worker writes one outcome or more, each whole, and nothing behind them. More outcomes than
// the batch has items are a lie as well, which the caller has to find out.
func Whole(b []byte) (o Outcomes, wellFormed bool) {
	o = OutcomesOf(b, math.MaxInt)
	return o, o.Count() > 0 && len(o.Body) == len(b)
}

// Ending is how the attempt at a batch ended.
type Ending uint8

const (
	// Returned is an ending with a result. The items that have no outcome in it were not begun.
	Returned Ending = iota
	// Broken is an ending with an error, with which all items end that have no outcome.
	Broken
	// Died is the death of the worker. The item behind the last outcome was running, if there is
	// such an item, and the items behind it were not begun.
	Died
)

// Shares says what becomes of the items of a batch that has ended. Each item is in exactly one
// share, whatever a worker wrote: the first items have outcomes, the next ones are blamed, and the
// rest is to be given out again.
type Shares struct {
	Outcomes
	Blamed int // how many items end with the error of the batch
	Again  int // how many items were not begun, and are to be given out again
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
