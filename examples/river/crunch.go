package main

// Args are the arguments of a job, as River keeps them.
type Args struct {
	Do string `json:"do"` // "square", "stuck" or "spin"
	N  int    `json:"n"`
}

// Kind implements river.JobArgs.
func (Args) Kind() string { return "crunch" }

// crunch is the body of all jobs: somebody else's code, which knows no context, and of which nobody
// can say whether it comes to an end.
func crunch(a Args) int {
	switch a.Do {
	case "stuck":
		select {}
	case "spin":
		for n := 1; n != 0; n += 2 { // n is odd, so never 0
		}
	}
	return a.N * a.N
}
