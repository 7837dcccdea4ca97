package fleet

import "slices"

// Exit tells that the end of the program was asked for, in a mode. It may be asked for again; what
// is harsher counts. Lives go on as before until End, but no slot comes, and the program has not
// started if it has not by now.
func (f *Fleet) Exit(mode Mode) {
	f.ask(mode)
	if f.stage == stageEnding && f.mode == KillAll {
		for _, p := range slices.Backward(f.pools) {
			f.releasePool(p)
		}
		f.endEvent()
	}
}

// End tells that the queue is drained, or need not be: the workers end, after Exit. They are led
// out in the reverse order of their registration, each when those that need it have ended.
func (f *Fleet) End() {
	if f.stage != stageAsked {
		return
	}
	f.stage = stageEnding
	f.line = nil
	for _, p := range slices.Backward(f.pools) {
		for _, s := range slices.Backward(slices.Clone(p.crew.spares)) {
			f.end(s)
		}
		for _, s := range slices.Backward(p.slots) {
			f.end(s)
		}
	}
	for _, p := range slices.Backward(f.pools) {
		for _, s := range slices.Backward(slices.Clone(p.away)) {
			f.end(s)
		}
	}
	f.endEvent()
}

// end ends a slot with the program.
func (f *Fleet) end(s *slot) {
	if s.why.Kind == None {
		f.doom(s, Reason{Kind: Ended})
	}
}
