//go:build !race

package life

// raceBuilt says that this program, and so each of its workers, has the race detector.
const raceBuilt = false
