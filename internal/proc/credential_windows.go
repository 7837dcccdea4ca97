// The functions of this file serve the process that starts workers.

package proc

// explain has nothing to add: the fields that could make a start fail are not supported here.
func (*Spec) explain(err error, _ string) error { return err }
