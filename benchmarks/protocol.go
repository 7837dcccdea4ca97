package main

// request is a line to the program. Fields that its op does not need are ignored there.
type request struct {
	Op      string `json:"op"`
	Kind    string `json:"kind,omitempty"`
	Workers int    `json:"workers,omitempty"`
	Size    int    `json:"size"`
	Budget  int64  `json:"budget,omitempty"` // nanoseconds
	N       int    `json:"n,omitempty"`
	Us      int    `json:"us,omitempty"` // microseconds of a task
	Chunk   int    `json:"chunk,omitempty"`
}

// answer is a line from the program.
type answer struct {
	Times []int64 `json:"times"` // nanoseconds of each call
	Ns    int64   `json:"ns"`    // of the whole
	Task  float64 `json:"task"`  // nanoseconds of one task without anything around it
	Pid   int     `json:"pid"`
}
