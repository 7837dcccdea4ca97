//go:build !race

package multiprolab_test

const raceBuilt = false
