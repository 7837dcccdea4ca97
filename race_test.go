//go:build race

package multiprolab_test

// raceBuilt says that the race detector watches every byte, in main and in each worker.
const raceBuilt = true
