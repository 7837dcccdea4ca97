package queue

// RefusalKind says why a task was not taken.
type RefusalKind uint8

// The refusals. Taken is none.
const (
	Taken         RefusalKind = iota
	RefusedStop               // the program ends
	RefusedFull               // the queue holds as many tasks as it may, and the submitter does not wait
	RefusedBytes              // the same, with the bytes of tasks
	RefusedLost               // as NoWorker; Cause is that of the worker that has gone
	RefusedType               // as Unknown
	RefusedCircle             // as Cycle; Waiting is who waits
)

// Refusal is why a task was not taken: there is no task then. The zero value is none.
type Refusal struct {
	Kind    RefusalKind
	Tasks   int      // that the queue holds
	Bytes   int      // that they count for
	Cause   any      // what Gone has said of a worker
	Waiting []Worker // in a circle
}

// Refused reports whether it is a refusal at all.
func (r Refusal) Refused() bool { return r.Kind != Taken }

// verdict is the outcome of a task that was taken and would be refused now.
func (r Refusal) verdict() Verdict {
	switch r.Kind {
	case RefusedLost:
		return Verdict{Kind: NoWorker, Cause: r.Cause}
	case RefusedCircle:
		return Verdict{Kind: Cycle}
	}
	return Verdict{Kind: Unknown}
}
