package multiprolab

// workerRole says which instance a worker is. It exists in the worker.
type workerRole struct {
	pool          string
	index, life   int
	process       bool   // it has a process of its own
	releaseThread func() // gives the main thread back to the scheduler
}
