package queue

// This file is the rule of checkpoints: what the handler of a task wants its next attempt to know.

// Checkpoint takes a checkpoint of a task from its worker, of so many bytes. It returns the task if
// the checkpoint is to be kept, in place of the one before; otherwise nil, such as if the task is a
// batch of several, whose next attempt may be divided otherwise. Only the worker that runs the task
// has a say. It says nothing of the task once it has said how the attempt has ended, so that what
// comes late is a lie. A condemned attempt may be the one that the next goes on from, also if its
// worker is being killed.
func (q *Queue) Checkpoint(id Worker, task ID, size int) (keep *Task, lie Lie) {
	t, lie := q.heldTask(id, task)
	switch {
	case lie.Told():
		return nil, lie
	case t.state != running:
		return nil, Lie{Kind: SavedEarly, Task: t}
	case t.Items > 1:
		return nil, Lie{}
	}
	t.Saved = SizeSaved(size) // the task runs, so that it does not weigh now
	return t, Lie{}
}

// SizeSaved is the Saved of a task with a checkpoint of so many bytes.
func SizeSaved(size int) uint16 { return uint16((size + 1<<10 - 1) >> 10) }
