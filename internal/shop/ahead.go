package shop

// Ahead is what main sends ahead of a task, such as the last checkpoint of it. It is for the task
// that comes next, and void if that is another one. The zero value has nothing. Who uses it guards
// it. It exists in the worker process.
type Ahead[S any] struct {
	id   uint64 // the id of the task that it is for
	what S      // what was sent
}

// Note keeps what has come for a task, until the next task comes.
func (a *Ahead[S]) Note(id uint64, what S) { *a = Ahead[S]{id, what} }

// Take returns what has come for a task, or the zero value. Nothing is left then.
func (a *Ahead[S]) Take(id uint64) (what S) {
	if a.id == id {
		what = a.what
	}
	*a = Ahead[S]{}
	return what
}
