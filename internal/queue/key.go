package queue

// keyState is the tasks of one key. There is one as long as a task of the key is with a worker, or
// waits for that. While none is with a worker, each line has let its first task into its lane:
// whichever goes out first has the key.
type keyState struct {
	owner *Task      // that is with a worker; nil: none is
	lines []*keyLine // tasks that wait for the key, by their lanes
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
