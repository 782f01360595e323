"""What is installed: the package, and the configurations inside it, which a bundle has beside it."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["bundle", "bundle.*"]), "bundle.configs", "bundle.report.templates"],
    package_dir={"bundle.configs": "configs"},
    package_data={"bundle.configs": ["*"], "bundle.report.templates": ["*"]},
)
