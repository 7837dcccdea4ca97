package multiprolab

import "fmt"

// MapConfig configures Map. Nil, and the zero value, are good defaults.
type MapConfig struct {
	// Window is the number of items that are with the workers or wait to be yielded: the
	// read-ahead. Item Window+1 is taken from the sequence only after a result has been yielded.
	// Defaults to 64, and to more while items take less time than a message: as many as keep the
	// workers busy for some milliseconds, at most 16,384.
	Window int
	// Unordered yields results as they come instead of in the order of the items.
	Unordered bool
	// FailFast ends the sequence with the first error, and cancels what is still with the workers.
	// Without it each item that fails yields its error, and the sequence goes on.
	FailFast bool
	// Task are the options of each task.
	Task TaskOptions
	// OnProgress, if not nil, is called on the goroutine that ranges over the results, before each
	// of them: for a progress bar.
	OnProgress func(MapProgress)
}

// MapError is the error of one item of a Map.
type MapError struct {
	Index int // of the item in the sequence, from 0
	Err   error
}

func (e *MapError) Error() string {
	return fmt.Sprintf("multiprolab: item %d: %s", e.Index, brief(e.Err))
}

// Unwrap returns the error of the item.
func (e *MapError) Unwrap() error { return e.Err }

// MapProgress counts the items of a Map.
type MapProgress struct {
	Taken   int // from the sequence
	Yielded int // the one that comes next included
	Failed  int // of those
}
