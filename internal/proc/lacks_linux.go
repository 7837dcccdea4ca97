// The variable of this file serves both processes.

package proc

// lacks is empty: Linux has all of the features.
var lacks = map[string]string{}
