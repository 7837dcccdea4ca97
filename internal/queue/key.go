package queue

// keyState is the tasks of one key. There is one as long as a task of the key is with a worker, or
// waits for that, or a throttle of the key has not all its tokens. While a further task may go out,
// each line has let its first task into its lane: whichever goes out first goes.
type keyState struct {
	key   string     // the key itself; "" once the state is forgotten
	alone int        // tasks with workers that want to be the only one of their key: mostly one at most
	gates []*Gate    // one for each throttle that has counted a task of the key
	lines []*keyLine // tasks that wait for the key, by their lanes
	place int        // the place in Queue.keyList, from 0
}

// line returns the line of a lane, or nil.
func (k *keyState) line(l *lane) *keyLine {
	for _, line := range k.lines {
		if line.lane == l {
			return line
		}
	}
	return nil
}

// gate returns the gate of a throttle, or nil if it has counted no task.
func (k *keyState) gate(h *throttle) *Gate {
	for _, g := range k.gates {
		if g.of == h {
			return g
		}
	}
	return nil
}

// gateOf returns the gate of a throttle, which it makes if need be.
func (k *keyState) gateOf(h *throttle) *Gate {
	g := k.gate(h)
	if g == nil {
		g = newGate(h, k.key)
		k.gates = append(k.gates, g)
	}
	return g
}

// lets reports whether a task of the key may go out, as far as the key is concerned.
func (k *keyState) lets(t *Task) bool {
	return (t.lane.shared || k.alone == 0) && !k.throttles(t)
}

// throttles reports whether a throttle of the key does not let a task out.
func (k *keyState) throttles(t *Task) bool {
	for _, h := range t.lane.keyed {
		if g := k.gate(h); g != nil && !g.lets(t.paid) {
			return true
		}
	}
	return false
}
