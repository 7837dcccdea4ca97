package multiprolab

import "slices"

// This file is the tasks with a TaskOptions.Key, of which one is with a worker at a time. It
// belongs to the broker, in main.

// keyState is the tasks of one key. It exists in main as long as one of them is with a worker, or
// waits for that; the broker's mutex guards it. While none is with a worker, each line has let its
// first job into its lane: whichever goes out first has the key.
type keyState struct {
	owner *job // that is with a worker; nil: none is
	lines []*keyLine
}

// keyLine is the jobs of one lane that have come to its front while another job had their key. It
// exists in main.
type keyLine struct {
	lane   *lane
	parked jobList
	next   *job // that was the first of parked and is in the lane again; or nil
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

// takeKey gives a job that is about to go out its key, if no other job has it, and else parks the
// job.
func (b *broker) takeKey(j *job) bool {
	if j.meta.Key == "" {
		return true
	}
	k := b.keys[j.meta.Key]
	if k == nil {
		b.keys[j.meta.Key] = &keyState{owner: j}
		return true
	}
	line := k.line(j.lane)
	wasNext := line != nil && line.next == j
	if wasNext {
		line.next = nil
	}
	if k.owner == nil {
		k.owner = j
		return true
	}
	if line == nil {
		line = &keyLine{lane: j.lane}
		k.lines = append(k.lines, line)
	}
	b.move(j, parked)
	if wasNext {
		line.parked.insert(j, line.parked.first)
	} else {
		line.parked.push(j)
	}
	return false
}

// freeKey takes the key from a job that is with no worker any more, or has ended while it was
// parked or the next of its line.
func (b *broker) freeKey(j *job) {
	k := b.keys[j.meta.Key]
	if k == nil || j.meta.Key == "" {
		return
	}
	if k.owner == j {
		k.owner = nil
	}
	for _, line := range k.lines {
		if line.next == j {
			line.next = nil
		}
	}
	if k.owner == nil {
		for _, line := range k.lines {
			if next := line.parked.first; next != nil && line.next == nil {
				line.parked.remove(next)
				line.next = next
				b.lineUp(next, true)
			}
		}
	}
	k.lines = slices.DeleteFunc(k.lines, func(line *keyLine) bool { return line.parked.n == 0 && line.next == nil })
	if k.owner == nil && len(k.lines) == 0 {
		delete(b.keys, j.meta.Key)
	}
}
