"""How an image lies beside the template: turned, mirrored, inverted, at another scale, cropped, or of another kind."""

from bundle.pose.affine import apply, distortion, scaling, turn_and_scale
from bundle.pose.finder import SAME_KIND, FoundPose, PoseFinder
from bundle.pose.view import Field, View, as_it_lies, in_template_frame, missing_probability
